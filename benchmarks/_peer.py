"""What the scripts of the peers share; they run in environments without napari-dojo."""

from __future__ import annotations

import argparse
from pathlib import Path


def arguments(about: str | None) -> argparse.Namespace:
    """Where the images are, where to write the results, and for how long to train."""
    parser = argparse.ArgumentParser(description=about)
    for name in ("--train", "--test", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--keep", type=Path, help="the folder of the trained model: taken from there, or put there")
    return parser.parse_args()
