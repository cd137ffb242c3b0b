"""Sums over a batch that is spread over several processes; elsewhere they are plain sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["PooledNorm", "added", "pool_norms", "pooled", "total"]

Add = Callable[[Tensor], Tensor]  # a tensor of this process -> the sum of those of all processes
N = TypeVar("N", bound=nn.Module)
_add: ContextVar[Add | None] = ContextVar("add", default=None)


@contextmanager
def pooled(add: Add) -> Iterator[None]:
    """In here sums are over the batches of all processes; all of them must make the same sums in the same order.

    Every process then has the same loss, and the mean of their gradients is the gradient of the whole batch.
    """
    token = _add.set(add)
    try:
        yield
    finally:
        _add.reset(token)


def added(value: Tensor) -> Tensor:
    """The sum of this tensor over the processes; outside of `pooled` the tensor."""
    add = _add.get()
    return value if add is None else _Added.apply(value, add)


def total(value: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """Sum over these axes (default: all), and over the processes."""
    return added(value.sum() if dims is None else value.sum(tuple(dims)))


class _Added(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, add: Add) -> Tensor:
        ctx.add = add
        return add(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.add(gradient), None


class PooledNorm(_BatchNorm):
    """Batch norm by the figures of the whole batch. `torch.nn.SyncBatchNorm` does that on GPUs only."""

    def _check_input_dim(self, x: Tensor) -> None:
        """Takes any."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *S) -> the same shape."""
        if not self.training:
            return super().forward(x)
        dims, wide = [0, *range(2, x.ndim)], x.float()
        count = wide.new_tensor([x.numel() / x.shape[1]])
        sums = added(torch.cat([wide.sum(dims), wide.square().sum(dims), count]))
        mean, square, n = sums[: x.shape[1]] / sums[-1], sums[x.shape[1] : -1] / sums[-1], sums[-1]
        variance = (square - mean.square()).clamp(min=0)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            share = self.momentum or 0.1
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, share)
            self.running_var.lerp_(variance * n / (n - 1), share)
        gain = self.weight * (variance + self.eps).rsqrt()
        along = (1, -1, *(1,) * (x.ndim - 2))
        return ((wide - mean.view(along)) * gain.view(along) + self.bias.view(along)).to(x.dtype)


def pool_norms(net: N, on_gpu: bool) -> N:
    """The network with batch norms that take the whole batch; parameters and their names stay."""
    if on_gpu:
        converted: N = nn.SyncBatchNorm.convert_sync_batchnorm(net)
        return converted
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.__class__ = PooledNorm
    return net
