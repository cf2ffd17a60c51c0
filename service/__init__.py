"""The composition root: builds an engine from its configuration, starts and stops it; the command line."""
