#!/usr/bin/env bash
# The programs that nobody here wrote and that the tests call: SIPp, baresip, linphone, Kamailio, rtpengine, espeak-ng,
# PostgreSQL, Redis, Fail2ban and others from Debian, and the phones of browsers, JsSIP and SIP.js, from npm.
#
#   scripts/peers.sh          installs what is missing when it may (root, or sudo that asks for no password), and
#                             otherwise says which tests are left out and how to get them
#
# Exits 0 when all are there or may be left out, 1 when one is missing in CI (CI=true), where that is a failure.
set -u

# program:package:the tests that need it. What is no program, but a module of one, is named by its path.
peers=(
  "sipp:sip-tester:the SIPp scenarios (make sipp) and the tests that call with SIPp"
  "baresip:baresip-core:the calls with a softphone, Opus and SRTP among them (tests/peers/test_baresip*, test_own_media.py)"
  "haproxy:haproxy:a web proxy before WebSocket and the API (tests/peers/test_web_proxy.py)"
  "kamailio:kamailio:the calls through a proxy (tests/peers/test_kamailio*)"
  "/usr/lib/*/kamailio/modules/tls.so:kamailio-tls-modules:TLS with Kamailio"
  "/usr/lib/*/kamailio/modules/websocket.so:kamailio-websocket-modules:phones behind an edge (tests/peers/test_edge.py)"
  "/usr/lib/*/kamailio/modules/outbound.so:kamailio-outbound-modules:phones behind an edge (tests/peers/test_edge.py)"
  "rtpengine:rtpengine-daemon:anchored calls through rtpengines (tests/peers/test_anchored_media.py)"
  "linphonecsh:linphone-cli:the calls with a second softphone (tests/peers/test_scenarios.py, test_own_media.py)"
  "sipsak:sipsak:the registrations with sipsak (tests/peers/test_phones_register.py)"
  "node:nodejs:JsSIP and SIP.js, the phones of browsers (tests/peers/test_browser_phones.py)"
  "npm:npm:JsSIP and SIP.js, the phones of browsers (tests/peers/test_browser_phones.py)"
  "openssl:openssl:certificates that are looked at from outside"
  "nginx:nginx-light:a web proxy before WebSocket and the API (tests/peers/test_web_proxy.py)"
  "espeak-ng:espeak-ng:speech (tests/audio/test_espeak.py)"
  "postgres:postgresql:the store on PostgreSQL (half of tests/store and tests/api)"
  "redis-server:redis-server:changes told between nodes by Redis"
  "fail2ban-regex:fail2ban:the filter that reads our log (tests/docs/test_fail2ban.py)"
  "curl:curl:the tutorials, word for word (tests/docs, tests/api/test_tutorials.py)"
  "jq:jq:the tutorial of docs/api.md (tests/docs)"
)

# Debian keeps PostgreSQL's server off the PATH, in a folder with the version in its name.
missing_packages() {
  local peer program package folder
  local PATH=$PATH:/usr/sbin:/usr/local/bin
  for folder in /usr/lib/postgresql/*/bin; do
    PATH=$PATH:$folder
  done
  for peer in "${peers[@]}"; do
    IFS=: read -r program package _ <<<"$peer"
    # Node as its makers package it has npm within, and does not go with Debian's: what node brings is seen first.
    [ "$program" != npm ] || present node || continue
    present "$program" || printf '%s\n' "$package"
  done
}

# Whether a program is on the PATH, or something is at the path.
present() {
  case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# JsSIP, SIP.js and what they need, just as package-lock.json has them; they are installed again when that has changed.
install_browser_phones() {
  local folder=tests/peers/node
  local stamp=$folder/node_modules/.package-lock.copy
  cmp -s "$folder/package-lock.json" "$stamp" && return 0
  echo "installing JsSIP and SIP.js for the tests"
  npm ci --prefix "$folder" --ignore-scripts --loglevel=error >/dev/null && cp "$folder/package-lock.json" "$stamp"
}

# Debian starts and enables what it installs. A proxy that listens on 5060 is the last thing that is wanted here, so
# the packages are installed while policy-rc.d forbids every start, and what they enabled is disabled again. PostgreSQL
# makes a database cluster besides, unless it is told not to: the tests make one of their own each time.
install_packages() {
  local as_root=("$@")
  local policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d installed=0 package
  # Whatever happens, both files go again: with the first nothing that is installed later would start.
  trap "${as_root[*]} rm -f $clusters/trunkline-tests.conf" EXIT
  trap 'exit 130' INT TERM
  if [ ! -e "$policy" ]; then
    trap "${as_root[*]} rm -f $policy $clusters/trunkline-tests.conf" EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null && "${as_root[@]}" chmod 755 "$policy"
  fi
  if [[ " ${missing[*]} " = *" postgresql "* ]]; then
    "${as_root[@]}" mkdir -p "$clusters" &&
      echo "create_main_cluster = off" | "${as_root[@]}" tee "$clusters/trunkline-tests.conf" >/dev/null
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" \
      >/dev/null || installed=1
  if command -v systemctl >/dev/null; then
    for package in "${missing[@]}"; do
      # The services have their packages' names; asking for one that there is not does nothing.
      "${as_root[@]}" systemctl disable "$package" >/dev/null 2>&1
    done
  fi
  return "$installed"
}

for _ in once "and once more for npm"; do
  mapfile -t missing < <(missing_packages)
  if [ "${#missing[@]}" -gt 0 ] && command -v apt-get >/dev/null; then
    if [ "$(id -u)" = 0 ]; then
      echo "installing ${missing[*]} for the tests"
      install_packages env
    elif sudo -n true 2>/dev/null; then
      echo "installing ${missing[*]} for the tests"
      install_packages sudo
    fi
  fi
done

mapfile -t missing < <(missing_packages)
left_out=0
if [ "${#missing[@]}" -gt 0 ]; then
  left_out=1
  for peer in "${peers[@]}"; do
    IFS=: read -r program package tests <<<"$peer"
    [[ " ${missing[*]} " != *" $package "* ]] || echo "left out, as $program is missing: $tests" >&2
  done
  echo "to run them too: sudo apt-get install ${missing[*]} (and systemctl disable --now fail2ban haproxy kamailio nginx postgresql redis-server rtpengine-daemon)" >&2
fi

cd "$(dirname "$0")/.."
if command -v npm >/dev/null && ! install_browser_phones; then
  left_out=1
  echo "left out, as npm did not install them: JsSIP and SIP.js, the phones of browsers (tests/peers/test_browser_phones.py)" >&2
fi

[ "$left_out" = 0 ] || [ "${CI:-}" != true ] || exit 1
