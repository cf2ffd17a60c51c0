"""Events of phones: what they may subscribe to, and the documents that tell it."""
