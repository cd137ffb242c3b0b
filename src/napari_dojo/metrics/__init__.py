"""How good a result is: scores, matching of objects, baselines, resolution, reliability, domain shift. Numpy alone."""

__all__ = [
    "base",
    "baselines",
    "classes",
    "corrections",
    "domain_shift",
    "image_baselines",
    "images",
    "learning_curve",
    "matching",
    "objects",
    "orientation",
    "reliability",
    "residuals",
    "resolution",
    "strokes",
]
