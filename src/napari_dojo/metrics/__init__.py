"""How good a result is: scores, matching of objects, baselines, resolution, reliability, domain shift. Numpy alone."""

__all__ = [
    "baselines",
    "domain_shift",
    "matching",
    "reliability",
    "resolution",
    "scores",
]
