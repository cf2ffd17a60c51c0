"""What a store can raise; apart from the database's own libraries, so that whoever catches it need not load them."""


class StoreError(Exception):
    """The database cannot be used; a sentence for the user: what, where, what to do."""


class StoreRefused(StoreError):
    """What was configured cannot be, and trying again would not mend it."""


class StoreBusy(StoreError):
    """No connection became free in time."""
