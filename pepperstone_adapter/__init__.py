"""Trade a Pepperstone account with NautilusTrader strategies."""

__version__ = "0.1.0"
