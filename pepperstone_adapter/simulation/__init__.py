"""Floor 3: a Pepperstone account for backtests, on the framework's extension points."""
