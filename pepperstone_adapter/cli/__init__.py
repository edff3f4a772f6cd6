"""The `pepperstone` command: one thin file per command group."""
