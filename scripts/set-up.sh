# Sourced by scripts/demo, scripts/test and scripts/bench: makes .venv and node_modules as the lock files say.
# Each step is done once and again only when its lock file changes.

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die "no Python 3.11 or newer with venv found; install one, or name it: PYTHON=/path/to/python3 $0"
}

# set_up_python LOCK: the packages of a lock file, and this project itself, in .venv.
set_up_python() {
  local lock=$1 stamp=.venv/.stamp python
  local want
  want="$(cat "$lock" pyproject.toml | cksum) $lock $PWD"
  # What the development lock installed serves the smaller one too.
  if [ -f "$stamp" ] && { grep -qxF "$want" "$stamp"; }; then return; fi
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    say "making the virtual environment .venv with $("$python" --version)"
    "$python" -m venv .venv
  fi
  say "installing the Python packages of $lock (about half a minute)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
  printf '%s\n' "$want" >> "$stamp"
}

# set_up_node: the npm packages that tests and the contract's compiler need.
set_up_node() { install_npm .; }

# set_up_daemon: the IPFS daemon that the tests of files run.
set_up_daemon() { install_npm tests/files/daemon --omit=optional; }

# install_npm FOLDER [OPTION…]: the npm packages of a folder's lock file.
install_npm() {
  local folder=$1 stamp=$1/node_modules/.stamp want
  shift
  want="$(cksum < "$folder/package-lock.json")"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return; fi
  command -v npm >/dev/null || die "npm not found; install Node.js 20 or newer"
  say "installing the npm packages of ${folder#./}/package-lock.json"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error "$@")
  printf '%s\n' "$want" > "$stamp"
}
