"""Who a peer is and what it may: addresses, networks, phones, bans, destinations."""
