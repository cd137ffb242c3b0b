"""A training session: points, network and optimizer, trained step by step or to the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_dojo.errors import DojoError
from napari_dojo.playground.activations import Array
from napari_dojo.playground.advice import mismatch
from napari_dojo.playground.losses import decide, loss_gradient, point_losses, targets
from napari_dojo.playground.net import LARGEST, Net, initial_weights
from napari_dojo.playground.points import Data, check_inputs, draw_points
from napari_dojo.playground.settings import Setup
from napari_dojo.playground.trainer import Score, Trainer

__all__ = ["Session"]


class Session(Trainer[Setup]):
    """A dense network that is trained on points of the plane; change weights with `set_weight`."""

    data: Data
    net: Net

    def _draw(self, setup: Setup) -> None:
        rng = np.random.default_rng(setup.seed)
        self._fit(setup, draw_points(setup.points, rng))
        self._after_data = rng.bit_generator.state

    def _fit(self, setup: Setup, data: Data) -> None:
        """Compute inputs and targets of the points."""
        check_inputs(setup.points, setup.net.inputs)
        goals = targets(data.value, data.classes, setup.net.outputs)
        self._x, self._targets = data.inputs(data.xy, setup.net.inputs), goals
        self.setup, self.data = setup, data

    def _network(self, rng: np.random.Generator) -> Net:
        return Net(self.setup.net, initial_weights(self.setup.net, rng))

    def change(self, setup: Setup) -> None:
        """Change the settings during training. DojoError if they do not fit; then nothing changes.

        Other points reset everything, except that custom points can be added and removed while the network stays. A
        network of another shape restarts on the same points. All other settings change without a restart.
        """
        before = self.setup
        if setup == before:
            return
        shapes = [
            (s.net.inputs, s.net.widths, s.net.skip, s.net.initializer, s.seed, s.attempt) for s in (before, setup)
        ]
        kinds = {before.points.kind, setup.points.kind}
        if (setup.points, setup.seed) != (before.points, before.seed):
            self._draw(setup)
            self._at = 0
        else:
            self._fit(setup, self.data)
        if shapes[0] != shapes[1] or (setup.points != before.points and kinds != {"custom"}):
            return self.reset()
        self.net = Net(setup.net, self.net.parameters)
        self._keep_on(before.learning, replace(setup, learning=before.learning) != before)

    def set_weight(self, layer: int, before: int | None, unit: int, value: float) -> None:
        """Set one weight by hand, or with ``before`` None the bias of a unit."""
        if not abs(value) <= LARGEST:
            raise DojoError(f"A weight must lie between -{LARGEST:g} and {LARGEST:g}; got {value}.")
        chosen = self.net.layers[layer]
        if before is None:
            chosen.biases[unit] = value
        else:
            chosen.weights[before, unit] = value
        self.altered = True
        self._good = self.net.parameters.copy()

    @property
    def mismatches(self) -> list[str]:
        """Why output layer and loss do not suit the points."""
        return list(mismatch(self.data.classes, self.setup.net, self.setup.learning.loss))

    @property
    def notes(self) -> list[str]:
        """Warnings about these settings, one sentence each."""
        notes = super().notes
        if self.setup.net.skip and not self.setup.net.hidden:
            notes.append("The skip connection has no effect, because there are no hidden layers.")
        if self.setup.learning.dropout and not self.setup.net.hidden:
            notes.append("Dropout has no effect, because there are no hidden layers.")
        return notes

    # Training

    def training_point(self, number: int) -> tuple[Array, Array]:
        """Inputs, (1, inputs), and targets, (1, outputs), of one training point."""
        if not 0 <= number < self.data.counts[0]:
            raise DojoError(f"There are {self.data.counts[0]} training points; number {number} is not among them.")
        return self._x[number : number + 1], self._targets[number : number + 1]

    def dropout_masks(self, points: int) -> list[Array] | None:
        """One mask per hidden layer, (points, units): 0 for units that are off, 1 / (1 - dropout) for the others.

        None without dropout.
        """
        dropout = self.setup.learning.dropout
        if not dropout:
            return None
        return [(self._rng.random((points, units)) >= dropout) / (1 - dropout) for units in self.setup.net.hidden]

    def apply(self, change: Array) -> None:
        """Subtract a change, (parameters,), from the parameters: the end of an update in slow motion."""
        self._ready()
        with np.errstate(all="ignore"):
            self.net.parameters -= change
        self.updates += 1
        self._end_update()

    def _backward(self, x: Array, target: Array) -> None:
        net, masks = self.net, self.dropout_masks(len(x))
        output = net.forward(x, masks)
        net.backward(loss_gradient(self.setup.learning.loss, net.shape.output, output, target), masks)

    # Scoring

    def _score(self, part: str) -> Score | None:
        where, data = self.data.part(part), self.data
        value, target = data.value[where], self._targets[where]
        if not len(value):
            return None
        with np.errstate(all="ignore"):
            p = self.net.forward(self._x[where])
            sums, shape = self.net.layers[-1].sums, self.net.shape
            loss = float(point_losses(self.setup.learning.loss, shape.output, sums, p, target).mean())
            found = decide(p, data.classes)
            if data.classes:
                return Score(len(value), loss, float((found == value).mean()), None)
            spread = float(((value - value.mean()) ** 2).sum())
            return Score(len(value), loss, None, 1 - float(((found - value) ** 2).sum()) / spread if spread else 0.0)

    def predict(self, xy: Array) -> Array:
        """The outputs, (n, outputs), for points (n, 2) of the plane."""
        with np.errstate(all="ignore"):
            return self.net.forward(self.data.inputs(np.asarray(xy, np.float64), self.setup.net.inputs))

    def decide(self, xy: Array) -> Array:
        """The predicted classes (for regression values), (n,), for points (n, 2) of the plane."""
        return decide(self.predict(xy), self.data.classes)

    @property
    def own_figures(self) -> dict[str, float | None]:
        """Parameters, hidden layers and hidden units."""
        shape = self.setup.net
        return {"parameters": shape.parameters, "layers": len(shape.hidden), "units": sum(shape.hidden)}
