"""How a score grows with the annotation: a power law through a few short trainings, and what more annotation would bring."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

__all__ = ["Curve", "Gain"]

LIMITS, POWERS = 40, 30  # values that are tried of the score with endless annotation, and of the power
SMALLEST = 0.02  # spread of the score of one training, at least
UNSURE = 0.1  # width of an interval from which on nothing is known


@dataclass(frozen=True)
class Gain:
    """What annotation of ``more`` objects would bring: the likeliest, and an interval that holds it in 8 of 10 cases."""

    more: int
    likely: float
    low: float
    high: float

    def sentence(self, unit: str, name: str) -> str:
        """``15 more objects: about +.01 AP (.00 to +.03)``."""
        name = name and f" {name}"
        plural = f"{unit}{'es' if unit.endswith('s') else 's'}"
        between = f"{_signed(self.low)} to {_signed(self.high)}"
        if self.high - self.low > UNSURE:
            return f"{self.more} more {plural}: {between}{name}. That is too wide a range to say; annotate some more first."
        return f"{self.more} more {plural}: about {_signed(self.likely)}{name} ({between})."


@dataclass(frozen=True)
class Curve:
    """Scores (0 to 1) after trainings on these numbers of objects."""

    objects: tuple[int, ...]
    scores: tuple[float, ...]

    @property
    def most(self) -> int:
        """Objects of the largest training."""
        return max(self.objects)

    def gain(self, more: int) -> Gain:
        """What ``more`` objects would bring, by the power laws (limit - a * objects ** -power) that fit the scores.

        Each law counts as much as it is likely, with a spread of the scores as large as the best law leaves.
        """
        n, y = np.array(self.objects, float), np.array(self.scores, float)
        limits = np.linspace(max(y.max(), 0.02), 1.0, LIMITS)
        powers = np.geomspace(0.1, 1.5, POWERS)
        misfits, gains = [], []
        for limit, power in product(limits, powers):
            falls = n**-power
            a = max(0.0, float(falls @ (limit - y) / (falls @ falls)))
            misfits.append(float(((limit - a * falls - y) ** 2).sum()))
            gains.append(a * (self.most**-power - (self.most + more) ** -power))
        spread = max(SMALLEST, float(np.sqrt(min(misfits) / max(1, len(n) - 2))))
        weights = np.exp(-(np.array(misfits) - min(misfits)) / (2 * spread**2))
        order = np.argsort(gains)
        share = np.cumsum(weights[order]) / weights.sum()
        low, likely, high = (float(np.array(gains)[order][np.searchsorted(share, q)]) for q in (0.1, 0.5, 0.9))
        return Gain(more, likely, low, high)


def _signed(value: float) -> str:
    """``+.01``; two digits."""
    text = f"{abs(value):.2f}".lstrip("0")
    return text if text == ".00" else f"{'+' if value > 0 else '-'}{text}"
