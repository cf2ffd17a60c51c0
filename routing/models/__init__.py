"""What is configured: numbers, providers and routes, their fields, defaults and checks."""
