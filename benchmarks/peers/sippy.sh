#!/bin/sh
# Sippy B2BUA without RADIUS, accounting and RTP proxy: one static route to the provider, Call-ID hidden, prefix 1 and
# one header added, as the other programs do. Arguments: own HOST:PORT, provider HOST:PORT.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
exec "$here/.venv/bin/python" -m sippy.b2bua \
  --foreground=on --auth_enable=off --acct_enable=off --start_acct_enable=off --hide_call_id=on --digest_auth=off \
  --sip_address="${1%:*}" --sip_port="${1##*:}" \
  --static_tr_out='s/^/1/' --static_route="$2;ash=X-Account:42" \
  --b2bua_socket="/tmp/bench-sippy.$$.sock"
