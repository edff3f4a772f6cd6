"""Floor 4: the cTrader venue."""
