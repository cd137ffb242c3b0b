"""Scores of classes as a table in rich text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from napari_dojo.metrics.classes import ClassCounts

__all__ = ["class_table"]


def class_table(counts: ClassCounts, truth: Any, numbers: Sequence[int]) -> str:
    """IoU and Dice of each class and its pixels in the truth, with the truth's colours, as rich text."""
    rows = []
    for number, name, line in zip(numbers, counts.classes, counts.confusion, strict=True):
        if name in counts.iou:
            colour = truth.get_color(number)
            square = "" if colour is None else f'<span style="color:{_hex(colour)}">■</span>'
            cells = (f"{counts.iou[name]:.2f}", f"{counts.dice[name]:.2f}", f"{sum(line):,}")
            rows.append(f"<tr><td>{square} {escape(name)}</td>{''.join(map(_cell, cells))}</tr>")
    head = "<tr><td></td>" + "".join(map(_cell, ("IoU", "Dice", "pixels"))) + "</tr>"
    return f'<table width="100%">{head}{"".join(rows)}</table>'


def _cell(text: str) -> str:
    return f'<td align="right">{text}</td>'


def _hex(colour: Any) -> str:
    return "#" + "".join(f"{round(255 * float(c)):02x}" for c in colour[:3])
