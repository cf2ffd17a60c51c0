"""The SIP protocol without I/O: bytes and the time go in; events, bytes and the next deadline come out."""
