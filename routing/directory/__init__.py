"""What calls are decided by, in memory: numbers, providers, routes, customers."""
