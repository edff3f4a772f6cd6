"""Floor 3: stored market data. Importers, server time, checks and the framework's Parquet catalog (`store`)."""
