"""Floor 4: the simulated broker. One ledger, a price tape, and the wires that serve them.

`ledger` is the broker itself (plain data in, events out); `tape` moves its prices; the server files speak a venue's
wire over it; `faults` breaks that wire on command. Nothing here uses the client's conversions: only the message schema
and the broker's symbol facts are shared, so a mistake of the client cannot agree with itself.
"""
