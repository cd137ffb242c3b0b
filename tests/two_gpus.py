"""A job on a machine that says that it has two GPUs, which are processes on the CPU: ``python two_gpus.py RUN_FOLDER``.

The job starts the second process by running this script once more.
"""

from __future__ import annotations

import runpy

import torch

from napari_dojo import device
from napari_dojo.device import Device

if __name__ == "__main__":
    torch.cuda.device_count = lambda: 2
    device.choose = lambda wanted="auto": Device("cpu", "CPU", 10**9, 1)
    runpy.run_module("napari_dojo.jobs", run_name="__main__")
