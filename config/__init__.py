"""Settings, the configuration file, and logging."""
