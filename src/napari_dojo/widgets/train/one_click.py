"""A training that one click in the menu starts: what it does after each check. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_dojo.tasks import Finding, Fix

__all__ = ["OneClick"]


@dataclass
class OneClick:
    """Trains on one image alone and applies the model to it; ``start`` names a model to fine-tune where it suits the image."""

    image: Any
    start: str = ""
    tried: list[Fix] = field(default_factory=list)

    def problem(self, findings: Sequence[Finding]) -> str | None:
        """Why it cannot start; None where it can."""
        return next((f.text for f in findings if f.level == "error"), None)

    def next_fix(self, findings: Sequence[Finding]) -> tuple[Fix, Finding] | None:
        """An option that the check would set otherwise, each once; None where it can start as it is."""
        offered = ((fix, f) for f in findings if f.level == "warning" for fix in f.fixes)
        found = next(((fix, f) for fix, f in offered if fix.kind == "option" and fix not in self.tried), None)
        if found is not None:
            self.tried.append(found[0])
        return found
