"""Call detail records and recordings, written to the store."""
