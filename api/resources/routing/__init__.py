"""Where calls and messages leave and come in: providers, routes, and how they do."""
