# Sourced by the scripts beside it: makes .venv and node_modules as the lock files say.
# Each step is done once and again only when its lock file changes.

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die "no Python 3.11 or newer with venv and pip found; install one (Debian: apt install python3-venv)," \
    "or name it: PYTHON=/path/to/python3 $0"
}

# state_of LOCK: what .venv holds once the packages of LOCK and this checkout are in it.
state_of() { printf '%s %s %s\n' "$1" "$(cat "$1" pyproject.toml | cksum)" "$PWD"; }

# set_up_python LOCK: the packages of a lock file, and this project itself, in .venv.
set_up_python() {
  local lock=$1 stamp=.venv/.stamp python
  if [ -f "$stamp" ]; then
    case "$(cat "$stamp")" in
      # What the development lock installs serves the smaller one too.
      "$(state_of "$lock")" | "$(state_of requirements-dev.lock)") return ;;
    esac
    rm "$stamp"
  fi
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    say "making the virtual environment .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
  fi
  say "installing the Python packages of $lock (about half a minute)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
  state_of "$lock" > "$stamp"
}

need_node() {
  command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
    || die "Node.js 20 or newer with npm not found; the tests need it for the chains that they start"
}

# set_up_node: the npm packages that tests and the contract's compiler need.
set_up_node() { install_npm .; }

# set_up_daemon: the IPFS daemon that the tests of files run.
set_up_daemon() { install_npm tests/files/daemon --omit=optional; }

# set_up_epcis: the validator of EPCIS documents that the tests ask.
set_up_epcis() { install_npm tests/epcis/judge; }

# set_up_chromium: the browser of the page's tests, from Debian where that may be done; without it they are skipped.
set_up_chromium() {
  local name
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then return; fi
  done
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing chromium for the tests of the page"
    if { apt-get update && apt-get install -y --no-install-recommends chromium; } >/dev/null 2>&1; then return; fi
  fi
  say "no chromium: the tests of the page in a browser will be skipped (Debian: apt install chromium)"
}

# look_for_postgres: the server of the tests of an index in PostgreSQL; without it they are skipped. It is not installed
# here, since Debian's package also starts a server.
look_for_postgres() {
  if command -v postgres >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null; then return; fi
  say "no PostgreSQL: the tests of an index in it will be skipped (Debian: apt install postgresql)"
}

# install_npm FOLDER [OPTION…]: the npm packages of a folder's lock file.
install_npm() {
  local folder=$1 stamp=$1/node_modules/.stamp want
  shift
  want="$(cksum < "$folder/package-lock.json")"
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ]; then return; fi
  need_node
  say "installing the npm packages of ${folder#./}/package-lock.json"
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error "$@")
  printf '%s\n' "$want" > "$stamp"
}
