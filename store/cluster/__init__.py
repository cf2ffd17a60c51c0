"""Several engines on one store: their rows, locks and notifications, and what dead ones left open."""
