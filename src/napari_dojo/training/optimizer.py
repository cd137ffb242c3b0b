"""The optimizer: Muon for the convolutions between hidden maps, AdamW for all else.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) replaces the momentum of each kernel, taken as a matrix
of output maps by all they read, by the nearest matrix whose singular values are about one: each step then changes all directions
alike, not those alone that have large gradients. Its steps have the size of Adam's (Liu et al. 2025, arXiv:2502.16982), so
that both share one learning rate; where batch norm makes the size of the weights meaningless, larger steps learn faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log, prod
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Optimizer", "orthogonal"]

HIDDEN = 16  # maps that a kernel reads and writes at least, else it is AdamW's
ALIKE = 0.2  # root mean square of a step by Muon at a learning rate of 1: about Adam's
FASTER = {True: 4.0, False: 2.0}  # than the learning rate are Muon's steps, with and without batch norm
MOMENTUM = 0.95
DECAY = 1e-2
POLYNOMIAL = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration
ITERATIONS = 5
FUSED = ("cpu", "cuda")  # devices with a kernel for AdamW that can leave out a step
BETAS, EPSILON, SHRINKS = (0.9, 0.999), 1e-8, 1e-3  # of AdamW; the last one is its weight decay


class Optimizer:
    """Makes steps from the gradients of a network's parameters.

    ``rate`` : learning rate; ``device`` : where the network lies.
    """

    def __init__(self, net: nn.Module, rate: float, device: torch.device) -> None:
        self._kernels = [p for p in net.parameters() if _is_hidden(p)]
        self._momenta = [torch.zeros(p.shape[0], prod(p.shape[1:]), device=p.device) for p in self._kernels]
        self._faster = FASTER[any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())]
        rest = [p for p in net.parameters() if not _is_hidden(p)]
        self._adam = _AdamW(rest, rate, device.type in FUSED)

    @property
    def rate(self) -> float | Tensor:
        """The learning rate of the next step: a tensor where a CUDA graph reads it."""
        return self._adam.rate

    def set_rate(self, rate: float | Tensor) -> None:
        """The learning rate of the next step."""
        if isinstance(self._adam.rate, Tensor) and not isinstance(rate, Tensor):
            self._adam.rate.fill_(rate)
        else:
            self._adam.rate = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for weights in (*self._adam.weights, *self._kernels):
            weights.grad = None

    def step(self, scale: Tensor, fine: Tensor) -> None:
        """One step by the gradients divided by ``scale``; none where not ``fine``. Both scalars, on the device."""
        self._adam.step(scale, fine)
        self._turn(scale, fine)

    @torch.no_grad()
    def _turn(self, scale: Tensor, fine: Tensor) -> None:
        """Muon's part. Kernels of equal size are one batch of matrices."""
        rate = self.rate * self._faster
        for places in _alike(self._momenta, [k.grad is not None for k in self._kernels]):
            kernels = [self._kernels[i] for i in places]
            gradients = torch.stack([k.grad.reshape(len(k), -1).float() for k in kernels if k.grad is not None])
            gradients = torch.where(fine, gradients / scale, 0.0)
            momenta = [self._momenta[i] for i in places]
            moved = torch.stack(momenta).lerp_(gradients, 1 - MOMENTUM)
            torch._foreach_copy_(momenta, list(moved))
            steps = orthogonal(gradients.lerp(moved, MOMENTUM))
            steps *= fine * rate * ALIKE * max(steps.shape[1:]) ** 0.5
            keep = 1 - fine * rate * DECAY
            for kernel, step in zip(kernels, steps, strict=True):
                kernel.mul_(keep).sub_(step.view(kernel.shape))

    def state_dict(self) -> dict[str, list[Tensor]]:
        """What a resumed run needs."""
        return {"momenta": self._momenta, **self._adam.state}

    def load_state_dict(self, state: Mapping[str, Sequence[Tensor]]) -> None:
        """Restore a `state_dict`."""
        for name, mine in self.state_dict().items():
            for now, kept in zip(mine, state[name], strict=True):
                now.copy_(kept)

    def move(self, device: torch.device) -> None:
        """To the device on which the network is now."""
        self._momenta = [m.to(device) for m in self._momenta]
        self._adam.move(device)


class _AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) by torch's own kernels.

    The one of ``torch.optim`` loads torch's compiler, which takes a second or two of the start of each training.
    """

    def __init__(self, weights: Sequence[Tensor], rate: float | Tensor, fused: bool) -> None:
        self.weights, self.rate, self._fused = weights, rate, fused
        self.state = {
            "means": [torch.zeros_like(p, memory_format=torch.preserve_format) for p in weights],
            "squares": [torch.zeros_like(p, memory_format=torch.preserve_format) for p in weights],
            "steps": [torch.zeros((), device=p.device) for p in weights],
        }

    def move(self, device: torch.device) -> None:
        """To the device on which the weights are now."""
        self.rate, self._fused = float(self.rate), device.type in FUSED
        self.state = {name: [v.to(device) for v in values] for name, values in self.state.items()}

    @torch.no_grad()
    def step(self, scale: Tensor, fine: Tensor) -> None:
        """As that of `Optimizer`."""
        every = zip(self.weights, *self.state.values(), strict=True)
        used = [(p, p.grad, *state) for p, *state in every if p.grad is not None]
        if not used:
            return
        weights, gradients, means, squares, steps = (list(values) for values in zip(*used, strict=True))
        if self._fused:
            torch._foreach_add_(steps, 1)
            missing = (~fine).float()
            make: Any = torch._fused_adamw_
            make(
                weights,
                gradients,
                means,
                squares,
                [],
                steps,
                lr=self.rate,
                beta1=BETAS[0],
                beta2=BETAS[1],
                weight_decay=SHRINKS,
                eps=EPSILON,
                amsgrad=False,
                maximize=False,
                grad_scale=scale,
                found_inf=missing,
            )
            torch._foreach_sub_(steps, [missing] * len(steps))
            return
        for values, gradient, mean, square, made in zip(weights, gradients, means, squares, steps, strict=True):
            self._plain(values, torch.where(fine, gradient / scale, 0.0), (mean, square, made), fine.float())

    def _plain(self, values: Tensor, gradient: Tensor, state: tuple[Tensor, Tensor, Tensor], fine: Tensor) -> None:
        """A step of one tensor on devices without a kernel for it; ``fine`` is 0 or 1. Nothing is waited for."""
        mean, square, made = state
        made += fine
        mean.lerp_(gradient, fine * (1 - BETAS[0]))
        square.lerp_(gradient.square(), fine * (1 - BETAS[1]))
        count = made.clamp(min=1)  # 0 where no step was fine until now
        first, second = (-(count * log(beta)).expm1() for beta in BETAS)  # 1 - beta ** count
        deviation = (square / second).sqrt_().add_(EPSILON)
        values.mul_(1 - fine * self.rate * SHRINKS)
        values.sub_(mean / deviation * (fine * self.rate / first))


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values of about one (.7 to 1.2), by Newton-Schulz; (N, rows, columns).

    The iteration runs on the products of rows (or of columns, if these are fewer), which are much smaller.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    gram = x @ x.mT
    turned = factor = _polynomial(gram)
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = _polynomial(gram)
        turned = factor @ turned
    x = turned @ x
    return x.mT if tall else x


def _polynomial(gram: Tensor) -> Tensor:
    """Of each symmetric matrix G: a + b G + c G G."""
    a, b, c = POLYNOMIAL
    found = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
    found.diagonal(dim1=1, dim2=2).add_(a)
    return found


def _is_hidden(values: Tensor) -> bool:
    """Whether these are the kernels of a convolution between hidden maps that looks further than a pixel."""
    return values.ndim > 2 and prod(values.shape[2:]) > 1 and min(values.shape[:2]) >= HIDDEN


def _alike(matrices: Sequence[Tensor], present: Iterable[bool]) -> list[list[int]]:
    """Places of matrices of one shape, of those that are present."""
    found: dict[tuple[int, ...], list[int]] = {}
    for i, (matrix, there) in enumerate(zip(matrices, present, strict=True)):
        if there:
            found.setdefault(tuple(matrix.shape), []).append(i)
    return list(found.values())
