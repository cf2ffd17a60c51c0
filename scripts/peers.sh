#!/usr/bin/env bash
# The programs that nobody here wrote and that the tests call: SIPp, baresip, linphone, Kamailio, rtpengine, espeak-ng,
# PostgreSQL, Redis and Fail2ban, from Debian.
#
#   scripts/peers.sh          installs what is missing when it may (root, or sudo that asks for no password), and
#                             otherwise says which tests are left out and how to get them
#
# Exits 0 when all are there or may be left out, 1 when one is missing in CI (CI=true), where that is a failure.
set -u

# program:package:the tests that need it
peers=(
  "sipp:sip-tester:the SIPp scenarios (make sipp) and the tests that call with SIPp"
  "baresip:baresip-core:the calls with a softphone, Opus and SRTP among them (tests/peers/test_baresip*, test_own_media.py)"
  "kamailio:kamailio:the calls through a proxy (tests/peers/test_kamailio*)"
  "rtpengine:rtpengine-daemon:anchored calls through rtpengines (tests/peers/test_anchored_media.py)"
  "linphonecsh:linphone-cli:the calls with a second softphone (tests/peers/test_scenarios.py, test_own_media.py)"
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
    command -v "$program" >/dev/null || printf '%s\n' "$package"
  done
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

mapfile -t missing < <(missing_packages)
[ "${#missing[@]}" -gt 0 ] || exit 0

if command -v apt-get >/dev/null; then
  if [ "$(id -u)" = 0 ]; then
    echo "installing ${missing[*]} for the tests"
    install_packages env
  elif sudo -n true 2>/dev/null; then
    echo "installing ${missing[*]} for the tests"
    install_packages sudo
  fi
fi

mapfile -t missing < <(missing_packages)
[ "${#missing[@]}" -gt 0 ] || exit 0

for peer in "${peers[@]}"; do
  IFS=: read -r program package tests <<<"$peer"
  [[ " ${missing[*]} " != *" $package "* ]] || echo "left out, as $program is missing: $tests" >&2
done
echo "to run them too: sudo apt-get install ${missing[*]} (and systemctl disable --now fail2ban kamailio postgresql redis-server rtpengine-daemon)" >&2
[ "${CI:-}" != true ] || exit 1
