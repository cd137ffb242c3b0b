"""The table of docs/cluster.md: 1 TB of 16-bit light-sheet data on 1, 8 and 64 workers, from what ``blocks.py --save blocks`` measured.

``python benchmarks/terabyte.py`` prints it, ``--write`` puts it into the page. It counts processor seconds, so that a figure which
was taken beside other programs is not far off.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from _common import RESULTS, ROOT, table

PIXELS = 1e12 / 2
MARKS = ("<!-- made by benchmarks/terabyte.py -->", "<!-- end -->")
READ = 2.5 * 2  # bytes from the disk for a pixel: once for the intensities, once and a half with the halo


def lines(found: dict[str, Any], cores: int, price: float) -> str:
    """The sentence and the table."""
    seconds = found["speed"]["processor_seconds_per_megapixel"]
    end = seconds["of_it_at_the_end"]
    kinds = {"planes, one by one": seconds["by_blocks"] - end}
    if stack := found.get("equal", {}).get("stack"):
        voxels = stack["shape"][0] * stack["shape"][1] * stack["shape"][2] / 1e6
        kinds["volume"] = stack["processor_seconds"][1] / voxels
    rows = [["", "workers", "prediction", "the end, by one process", "from the disk", "core hours", "at the price"]]
    for kind, per_pixel in kinds.items():
        work, last = (s * PIXELS / 1e6 / 3600 for s in (per_pixel, end))
        for workers in (1, 8, 64):
            hours = work / cores / workers
            disk = PIXELS * READ / hours / 3600 / 1e6
            cost = [f"{work + last:,.0f}", f"{(work + last) * price:,.0f}"]
            rows.append([kind, f"{workers}", _long(hours), _long(last / cores), f"{disk:,.0f} MB/s", *cost])
    each = ", ".join(f"{s:.2f} for a megapixel ({kind})" for kind, s in kinds.items())
    about = found["machine"]
    return (
        f"Measured on {about['processor']}, {about['date']}, seconds of one core: {each}, and {end:.3f} for joining, numbering and "
        f"lower resolutions. A worker has {cores} cores here; a core hour is taken to cost {price:g}, in whatever currency.\n\n"
        + table(rows)
    )


def _long(hours: float) -> str:
    return f"{hours:.0f} h" if hours >= 10 else f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS / "blocks.json")
    parser.add_argument("--cores", type=int, default=8, help="of a worker")
    parser.add_argument("--price", type=float, default=0.05, help="of a core hour")
    parser.add_argument("--write", action="store_true", help="put it into docs/cluster.md")
    args = parser.parse_args()
    made = lines(json.loads(args.results.read_text(encoding="utf-8")), args.cores, args.price)
    print(made)
    if args.write:
        page = ROOT / "docs" / "cluster.md"
        text = page.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        page.write_text(f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
