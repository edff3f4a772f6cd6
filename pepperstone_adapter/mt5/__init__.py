"""Floor 4: the MetaTrader 5 venue. The framework's faces stand here; `client` and `gateway` know no framework."""
