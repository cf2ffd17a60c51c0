"""Resources of calls and of the contact centre."""
