"""The program in two processes, as torchrun starts them: ``python launched.py ARGUMENTS``.

torchrun itself starts two Pythons of their own; here they are forked from this one where that can be done.
"""

from __future__ import annotations

import sys

from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from napari_dojo.cli import main

if __name__ == "__main__":
    how = "fork" if sys.platform == "linux" else "spawn"
    config = LaunchConfig(1, 1, 2, rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method=how)
    sys.exit(max(elastic_launch(config, main)(sys.argv[1:]).values()))
