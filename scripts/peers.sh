#!/usr/bin/env bash
# The programs that nobody here wrote and that the tests call: SIPp, baresip and Kamailio, from Debian.
#
#   scripts/peers.sh          installs what is missing when it may (root, or sudo that asks for no password), and
#                             otherwise says which tests are left out and how to get them
#
# Exits 0 when all are there or may be left out, 1 when one is missing in CI (CI=true), where that is a failure.
set -u

# program:package:the tests that need it
peers=(
  "sipp:sip-tester:the SIPp scenarios (make sipp) and the tests that call with SIPp"
  "baresip:baresip-core:the calls with a softphone (tests/peers/test_baresip*)"
  "kamailio:kamailio:the calls through a proxy (tests/peers/test_kamailio*)"
)
PATH=$PATH:/usr/sbin:/usr/local/bin

missing_packages() {
  local peer program package
  for peer in "${peers[@]}"; do
    IFS=: read -r program package _ <<<"$peer"
    command -v "$program" >/dev/null || printf '%s\n' "$package"
  done
}

# Debian starts and enables what it installs. A proxy that listens on 5060 is the last thing that is wanted here, so
# the packages are installed while policy-rc.d forbids every start, and what they enabled is disabled again.
install_packages() {
  local as_root=("$@")
  local policy=/usr/sbin/policy-rc.d installed=0
  if [ ! -e "$policy" ]; then
    # Whatever happens: without this nothing that is installed later would start.
    trap "${as_root[*]} rm -f $policy" EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null && "${as_root[@]}" chmod 755 "$policy"
  fi
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" \
      >/dev/null || installed=1
  if command -v systemctl >/dev/null; then
    for package in "${missing[@]}"; do
      # Only kamailio brings a service; asking for another does nothing.
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
  command -v "$program" >/dev/null || echo "left out, as $program is missing: $tests" >&2
done
echo "to run them too: sudo apt-get install ${missing[*]} (and systemctl disable --now kamailio)" >&2
[ "${CI:-}" != true ] || exit 1
