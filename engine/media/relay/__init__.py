"""The embedded relay: packets of a call through sockets of this process."""
