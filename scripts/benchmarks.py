"""List the benchmarks: the name and the first line of each script."""

from __future__ import annotations

import ast
from pathlib import Path

folder = Path(__file__).resolve().parent.parent / "benchmarks"
for script in sorted(folder.glob("*.py")):
    if script.stem.startswith(("_", "peer_")):  # parts of others
        continue
    about = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    if about:
        print(f"make bench RUN={script.stem:<20} {about.splitlines()[0]}")
