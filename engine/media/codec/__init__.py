"""Payload formats: what a codec is, those there are, and the registry that names them."""
