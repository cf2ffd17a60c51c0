#!/usr/bin/env bash
# Makes .venv with what pyproject.toml and constraints.txt say. `make` calls it when one of the two has changed.
set -eu
cd "$(dirname "$0")/.."

usable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3; do
    if [ -n "$candidate" ] && usable "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  echo "no Python from 3.11 on was found; install one (apt-get install python3), or name it: make PYTHON=/path/to/python" >&2
  return 1
}

# Debian's python3 comes without ensurepip until python3-venv is installed.
complete_python() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null && return
  local package
  package=python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || { echo "$1 cannot make virtual environments; run: sudo apt-get install $package" >&2; return 1; }
    as_root=(sudo)
  fi
  command -v apt-get >/dev/null || { echo "$1 cannot make virtual environments; install its venv module" >&2; return 1; }
  echo "installing $package, which makes virtual environments"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$package" >/dev/null
}

if ! { [ -x .venv/bin/python ] && usable .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1; }; then
  python=$(find_python)
  complete_python "$python"
  echo "making .venv with $("$python" --version)"
  "$python" -m venv --clear .venv
fi
echo "installing what pyproject.toml and constraints.txt name"
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,speed]' -c constraints.txt
touch .venv/.installed
