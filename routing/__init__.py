"""Who gets a call: pure decisions without sockets, clocks or SIP messages."""
