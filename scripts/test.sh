#!/usr/bin/env bash
# Run a Python's pytest under a display: the one there is, else Xvfb, else none (what needs a window is then skipped).
# Usage: scripts/test.sh PYTHON [pytest's arguments]; without arguments all tests run, several at a time.
set -euo pipefail

if [ $# -eq 1 ]; then # one worker more than cores: windows and child processes leave a core idle while they are waited for
    cores=$(getconf _NPROCESSORS_ONLN)
    set -- "$1" -n "$((cores < 4 ? cores + 1 : 4))" --dist worksteal
fi

# Named plugins alone: pytest would load those of all packages, and rewrite all of napari as if it were tests, in each worker.
# What one worker has compiled is kept for the others and for the Pythons that tests start.
export PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
unset PYTHONDONTWRITEBYTECODE
plugins=(-p xdist -p timeout -p pytest_cov -p napari.utils._testsupport)

if [ "$(uname -s)" != Linux ]; then exec "$1" -m pytest "${plugins[@]}" -p pytest-qt "${@:2}"; fi

if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && command -v xvfb-run >/dev/null && command -v xauth >/dev/null; then
    exec xvfb-run -a -s "-screen 0 1600x1000x24" bash "$0" "$@"
fi

probe='import qtpy.QtOpenGLWidgets, qtpy.QtWidgets as w; w.QApplication([])'
if [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    echo "There is no display, and Xvfb is not installed: tests that need a window are skipped."
    probe='import qtpy.QtOpenGLWidgets, qtpy.QtWidgets'
fi
qt=(-p pytest-qt)
if ! why=$("$1" -c "$probe" 2>&1); then
    echo "Qt does not start, so tests that need a window are skipped: $(tail -n 1 <<<"$why")"
    unset DISPLAY WAYLAND_DISPLAY
    qt=()
fi
exec "$1" -m pytest "${plugins[@]}" "${qt[@]}" "${@:2}"
