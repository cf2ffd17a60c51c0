#!/usr/bin/env bash
# All tests with coverage, what failed once more (run_tests.py says what is forgiven), then the gates: the packages
# that decide what a call does, and those that keep and change what it is decided by, are tested line by line.
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
.venv/bin/coverage erase
covered=(--cov --cov-report=)
[ $# = 0 ] || exec .venv/bin/python -m pytest "${workers[@]}" "${covered[@]}" "$@"
gates=(--gate engine/sip:90 --gate routing:90 --gate flows:90 --gate store:85 --gate api:85)
exec .venv/bin/python scripts/run_tests.py "${gates[@]}" -- "${workers[@]}" "${covered[@]}"
