"""The routing directory and the store: loaded, kept in sync, numbers fetched one by one, the file reconciled."""
