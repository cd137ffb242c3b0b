"""Losses on batches: outputs (N, K, *S), weights (N, 1, *S) that are 0 where nothing is known.

They are made of `napari_dojo.nets.pooled.total`, so that they are of the whole batch where several processes share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["binary_cross_entropy", "cross_entropy", "edges", "l1", "l2", "soft_dice"]


def mean(value: Tensor, weight: Tensor) -> Tensor:
    """Mean of (N, K, *S) over what has weight; 0 where nothing has."""
    from napari_dojo.nets.pooled import total

    return total(value * weight) / (total(weight) * value.shape[1]).clamp(min=1)


def binary_cross_entropy(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Of logits (N, K, *S) against targets 0 to 1 of the same shape."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return mean(binary_cross_entropy_with_logits(out, target, reduction="none"), weight)


def cross_entropy(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Of logits (N, K, *S) against class numbers 0 to K-1, (N, 1, *S); pixels without weight are ignored."""
    from torch.nn.functional import cross_entropy as ce

    return mean(ce(out, target[:, 0].long(), reduction="none")[:, None], weight)


def l1(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of (N, K, *S)."""
    return mean((out - target).abs(), weight)


def soft_dice(probability: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - Dice of (N, K, *S) over the batch, mean over the K maps (Milletari et al. 2016, arXiv:1606.04797).

    A map that is absent from target and prediction counts as right.
    """
    from napari_dojo.nets.pooled import total

    dims = [0, *range(2, probability.ndim)]
    both = total(probability * target * weight, dims)
    each = total((probability + target) * weight, dims)
    return (1 - (2 * both + 1) / (each + 1)).mean()


def l2(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean squared difference of (N, K, *S)."""
    return mean((out - target).square(), weight)


def edges(out: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of the slopes of (N, K, *S) along each spatial axis, summed over the axes."""
    found = out.new_zeros(())
    for axis in range(2, out.ndim):
        n = out.shape[axis] - 1
        if n > 0:
            a, b = (t.narrow(axis, 1, n) - t.narrow(axis, 0, n) for t in (out, target))
            found = found + l1(a, b, weight.narrow(axis, 1, n) * weight.narrow(axis, 0, n))
    return found
