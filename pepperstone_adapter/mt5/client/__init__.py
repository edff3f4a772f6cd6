"""MetaTrader 5 as a `BrokerSession`: the terminal's words in, `broker` structs out. No framework below this line."""
