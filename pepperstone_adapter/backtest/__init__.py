"""Floor 4: settings -> engine -> result."""
