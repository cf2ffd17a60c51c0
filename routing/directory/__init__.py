"""Numbers, providers, routes and customers in memory, for look-ups that never wait."""
