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
    time.sleep(0.2)
    print("worked", flush=True)
latest = Latest()
latest.ask(work)
began.wait(10)
"""


def test_a_script_that_ends_waits_for_its_threads():
    """Its end, with the window open, must not pull Python away from under them."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "worked\n"), done.stderr


def test_a_thread_that_outlasts_the_end_tells_nothing():
    """The program waits for a while only; a window that is being taken down is not told anything after that."""
    late = """
from napari_dojo.widgets.common import background
background.PATIENCE = 0.02
told = []
latest._done.connect(lambda *_: told.append(1), Qt.ConnectionType.DirectConnection)
def look():
    go.set()
    for thread in list(background._running):
        thread.join(60)
    print(told, flush=True)
atexit.unregister(background._wait)
atexit.register(look)  # called after what is registered next
atexit.register(background._wait)
"""
    code = CODE.replace("import threading, time", "import atexit, threading\nfrom qtpy.QtCore import Qt")
    code = code.replace("began =", "go = threading.Event()\nbegan =").replace("time.sleep(0.2)", "go.wait(60)") + late
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "worked\n[]\n"), done.stderr
