"""A second implementation of the classroom's learning: a plain PyTorch loop in float64."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from torch.nn import functional as F

from napari_dojo.playground import Session

ACTIVATIONS = {
    "linear": lambda z: z,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.01),
    "softmax": lambda z: torch.softmax(z, 1),
}
OPTIMIZERS = {
    "sgd": lambda p, rate: torch.optim.SGD(p, rate),
    "momentum": lambda p, rate: torch.optim.SGD(p, rate, momentum=0.9),
    "rmsprop": lambda p, rate: torch.optim.RMSprop(p, rate, alpha=0.9, eps=1e-7),
    "adam": lambda p, rate: torch.optim.Adam(p, rate, eps=1e-7),
}


class Plain:
    """The net of a session that has not learned yet, as tensors."""

    def __init__(self, session: Session) -> None:
        self.setup = session.setup
        self.weights = [torch.tensor(layer.weights.copy(), requires_grad=True) for layer in session.net.layers]
        self.biases = [torch.tensor(layer.biases.copy(), requires_grad=True) for layer in session.net.layers]
        self.x, self.t = torch.tensor(session._x), torch.tensor(session._targets)
        self.rng = deepcopy(session._rng)
        self.parts = [session.data.part(name) for name in ("training", "validation")]
        self.kept: list[torch.Tensor] = []

    def sums(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The weighted sums of every layer."""
        found, a, last = [], x, len(self.weights) - 1
        for number, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            if number and number == last and self.setup.net.skip:
                a = torch.cat([a, x], 1)
            z = a @ w + b
            z.retain_grad() if z.requires_grad else None
            found.append(z)
            a = ACTIVATIONS[self.setup.net.activation](z)
        return found

    def loss(self, z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Mean loss from the last sums."""
        name, output = self.setup.learning.loss, self.setup.net.output
        if name == "binary_cross_entropy" and output == "sigmoid":
            return F.binary_cross_entropy_with_logits(z, t)
        if name == "categorical_cross_entropy" and output == "softmax" and z.shape[1] > 1:
            return F.cross_entropy(z, t)
        p = ACTIVATIONS[output](z)
        if name == "squared_error":
            return 0.5 * ((p - t) ** 2).sum(1).mean()
        if name == "binary_cross_entropy":
            p = p.clamp(1e-7, 1 - 1e-7)
            return -(t * p.log() + (1 - t) * (1 - p).log()).mean()
        return -(t * (p / p.sum(1, keepdim=True)).clamp(1e-7, 1 - 1e-7).log()).sum(1).mean()

    def penalty(self) -> torch.Tensor:
        """Of L1 and L2."""
        learning = self.setup.learning
        return sum(learning.l1 * w.abs().sum() + learning.l2 * (w**2).sum() for w in self.weights)

    def curve(self, epochs: int) -> np.ndarray:
        """Losses of training and validation at the start and after every epoch, (epochs + 1, 2)."""
        learning, n = self.setup.learning, self.parts[0].stop
        optimizer = OPTIMIZERS[learning.optimizer]([*self.weights, *self.biases], learning.learning_rate)
        found = [self.losses()]
        for _ in range(epochs):
            order = torch.tensor(self.rng.permutation(n))
            for batch in order.split(learning.batch_size or n):
                optimizer.zero_grad()
                (self.loss(self.sums(self.x[batch])[-1], self.t[batch]) + self.penalty()).backward()
                optimizer.step()
            found.append(self.losses())
        return np.array(found)

    def losses(self) -> list[float]:
        """Of training and validation, as they are now."""
        with torch.no_grad():
            return [float(self.loss(self.sums(self.x[part])[-1], self.t[part])) for part in self.parts]

    def parameters(self) -> np.ndarray:
        """Weights and biases in the classroom's order."""
        pairs = zip(self.weights, self.biases, strict=True)
        return np.concatenate([v.detach().numpy().ravel() for pair in pairs for v in pair])
