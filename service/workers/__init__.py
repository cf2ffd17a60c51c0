"""Background work: health of providers, addresses of trunks, webhooks, maintenance."""
