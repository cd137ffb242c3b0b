"""The optimizer: Muon for the convolutions between hidden maps, AdamW for all else.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) replaces the momentum of each kernel, taken as a matrix
of output maps by all they read, by the nearest matrix whose singular values are about one: each step then changes all directions
alike, not those alone that have large gradients. Its steps have the size of Adam's (Liu et al. 2025, arXiv:2502.16982), so
that both share one learning rate; where batch norm makes the size of the weights meaningless, larger steps learn faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import prod
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
FUSED = ("cpu", "cuda")  # devices whose fused AdamW can leave out a step


class Optimizer:
    """Makes steps from the gradients of a network's parameters.

    ``rate`` : learning rate; ``device`` : where the network lies.
    """

    def __init__(self, net: nn.Module, rate: float, device: torch.device) -> None:
        self._kernels = [p for p in net.parameters() if _is_hidden(p)]
        self._momenta = [torch.zeros(p.shape[0], prod(p.shape[1:]), device=p.device) for p in self._kernels]
        self._faster = FASTER[any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())]
        rest = [p for p in net.parameters() if not _is_hidden(p)]
        self._adam = torch.optim.AdamW(
            rest, lr=rate, weight_decay=1e-3, fused=device.type in FUSED, capturable=device.type == "cuda"
        )

    @property
    def rate(self) -> float | Tensor:
        """The learning rate of the next step: a tensor where a CUDA graph reads it."""
        rate: float | Tensor = self._adam.param_groups[0]["lr"]
        return rate

    def set_rate(self, rate: float | Tensor) -> None:
        """The learning rate of the next step."""
        for group in self._adam.param_groups:
            if isinstance(group["lr"], Tensor) and not isinstance(rate, Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self._adam.zero_grad(set_to_none=True)
        for kernel in self._kernels:
            kernel.grad = None

    def step(self, scale: Tensor, fine: Tensor) -> None:
        """One step by the gradients divided by ``scale``; none where not ``fine``. Both scalars, on the device."""
        adam: Any = self._adam
        if adam.defaults["fused"]:
            adam.grad_scale, adam.found_inf = scale, (~fine).float()
        elif not fine:
            return
        else:
            for group in adam.param_groups:
                torch._foreach_div_([p.grad for p in group["params"] if p.grad is not None], scale)
        adam.step()
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

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {"adam": self._adam.state_dict(), "momenta": self._momenta}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a `state_dict`."""
        self._adam.load_state_dict(state["adam"])
        for mine, kept in zip(self._momenta, state["momenta"], strict=True):
            mine.copy_(kept)

    def move(self, device: torch.device) -> None:
        """To the device on which the network is now."""
        for group in self._adam.param_groups:
            group["lr"], group["capturable"] = float(group["lr"]), device.type == "cuda"
        for state in self._adam.state.values():
            for k, v in state.items():
                if isinstance(v, Tensor):
                    state[k] = v.to(device)
        self._momenta = [m.to(device) for m in self._momenta]


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest matrices with singular values of about one (.7 to 1.2), by Newton-Schulz; (N, rows, columns).

    The iteration runs on the products of rows (or of columns, if these are fewer), which are much smaller.
    """
    a, b, c = POLYNOMIAL
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    gram = x @ x.mT
    one = torch.eye(gram.shape[1], device=x.device)
    turned = one.expand_as(gram)
    for i in range(ITERATIONS):
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c) + a * one
        turned = factor @ turned
        if i + 1 < ITERATIONS:
            gram = factor @ gram @ factor
    x = turned @ x
    return x.mT if tall else x


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
