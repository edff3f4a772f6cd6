"""Trading strategies: plain framework `Strategy` classes, one file each. They know no venue and run anywhere as is."""
