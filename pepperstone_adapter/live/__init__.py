"""Floor 3: the framework's live clients, written once over `broker.session.BrokerSession` for every venue."""
