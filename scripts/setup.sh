#!/usr/bin/env bash
# Make .venv beside the sources: Python packages, and on Debian the libraries that a window needs.
# PYTHON names the interpreter to use; else the first one that is new enough is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

new_enough() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version 3.11 or newer; name another one."
        say "$PYTHON"
        return
    fi
    for name in python3 python3.11 python3.12 python3.13 python; do
        if new_enough "$name"; then say "$name"; return; fi
    done
    fail "Python 3.11 or newer is needed and was not found. Install it, or name it: make setup PYTHON=/path/to/python3.11"
}

# The Debian packages that are missing, one a line; nothing on other systems. Names that an installed one provides count.
missing_packages() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || return 0
    local wanted have
    wanted=$(cat scripts/debian-packages.txt)
    if ! "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        wanted+=" $("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    have=$(dpkg-query -W -f='${db:Status-Status} ${Package}, ${Provides}\n' | sed -n 's/^installed //p' | tr ',' '\n' | sed 's/(.*//; s/ //g')
    for name in $wanted; do
        grep -qxF "$name" <<<"$have" || say "$name"
    done
}

install_packages() {
    local log
    log=$(mktemp)
    say "Installing Debian packages: $*"
    apt-get update -qq >"$log" 2>&1 || true # an old list may do
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 20 "$log" >&2
        say "These Debian packages could not be installed: $*. Without them windows do not open, and their tests are skipped."
    fi
    rm -f "$log"
}

python=$(find_python)
missing=$(missing_packages "$python" | tr '\n' ' ')
missing=${missing% }
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        # shellcheck disable=SC2086 # one word for each package
        install_packages $missing
    else
        say "Debian packages are missing, without which windows do not open and their tests are skipped. Install them with:"
        say "    sudo apt-get install $missing"
    fi
fi
"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
    fail "$python cannot make virtual environments: install its venv and ensurepip modules (Debian: sudo apt-get install python3-venv)."

# An environment that was made elsewhere, or by a Python that is gone, does not work here: make it anew.
bin=.venv/bin
case "$(uname -s)" in MINGW* | MSYS* | CYGWIN*) bin=.venv/Scripts ;; esac
if ! new_enough "$bin/python" || { [ "$bin" = .venv/bin ] && ! grep -qF "$PWD/.venv" .venv/bin/activate 2>/dev/null; }; then
    rm -rf .venv
    "$python" -m venv .venv
fi
say "Setting up .venv with $("$bin/python" -V); the first time takes some minutes and 2 GB."
"$bin/python" -m pip install -q --disable-pip-version-check --no-input -c constraints.txt -e ".[testing,dev]"
touch .venv/.ready
