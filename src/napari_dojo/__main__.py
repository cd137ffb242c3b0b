"""The command line as a module: ``python -m napari_dojo``, which torchrun and srun start."""

from __future__ import annotations

import sys

from napari_dojo.cli import main

if __name__ == "__main__":
    sys.exit(main())
