"""Floor 0: machinery without trading words."""
