from __future__ import annotations

import subprocess
import sys

CODE = """
import threading, time
from qtpy.QtWidgets import QApplication
app = QApplication([])
from napari_dojo.widgets.common.latest import Latest
began = threading.Event()
def work():
    began.set()
    time.sleep(0.5)
    print("worked", flush=True)
latest = Latest()
latest.ask(work)
began.wait(10)
"""


def test_a_script_that_ends_waits_for_its_threads():
    """Its end, with the window open, must not pull Python away from under them."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "worked\n"), done.stderr
