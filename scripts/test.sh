#!/usr/bin/env bash
# All tests with coverage, then the gates: the packages that decide what a call does, and those that keep
# and change what it is decided by, are tested line by line.
# pytest's summary is printed last, where whoever runs this looks.
#
#   scripts/test.sh [pytest's arguments]         all tests; with arguments, those that they name, without the gates
#   scripts/test.sh quick [pytest's arguments]   what needs no other program and is over in a moment, without coverage
set -u
cd "$(dirname "$0")/.."

# Every process that tests and every engine that a test starts would compile all sources anew.
unset PYTHONDONTWRITEBYTECODE

# Two at a time: each core of a small machine has one. A file stays together, files begin in the order of their names
# (tests/conftest.py says which files stay together, too).
workers=(-n 2 --dist loadfile --no-loadscope-reorder)

if [ "${1-}" = quick ]; then
  shift
  # A third one works while the others wait.
  exec .venv/bin/python -m pytest "${workers[@]}" -n 3 -m "not peer and not long" "$@"
fi

scripts/peers.sh || exit 1
output=$(mktemp)
trap 'rm -f "$output"' EXIT

.venv/bin/coverage erase
.venv/bin/python -m pytest "${workers[@]}" --cov --cov-report= "$@" | tee "$output"
status=${PIPESTATUS[0]}

if [ "$status" = 0 ] && [ $# = 0 ]; then
  for asked in engine/sip:90 routing:90 flows:90 store:85 api:85; do
    IFS=: read -r package least <<<"$asked"
    gate=(--include="$package/*" --precision=1 --fail-under="$least")
    if total=$(.venv/bin/coverage report "${gate[@]}" --format=total); then
      echo "coverage of $package: $total% of lines"
    else
      .venv/bin/coverage report "${gate[@]}" --show-missing --skip-covered
      echo "coverage of $package: $total% of lines, and at least $least% are asked"
      status=1
    fi
  done
  # The gates above may have failed; the closing line is pytest's all the same, and the exit code tells.
  grep -E '^=*.*[0-9]+ (passed|failed|error)' "$output" | tail -n 1
fi
exit "$status"
