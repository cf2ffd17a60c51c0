"""Who a peer is and what it may dial: admission, destinations, known peers, bans, phones."""
