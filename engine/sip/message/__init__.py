"""SIP messages: parsing, framing, and the grammar of header fields (RFC 3261 §7, §20, §25)."""
