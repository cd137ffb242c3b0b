"""The number of parameters and of updates per epoch, with the calculation written out."""

from __future__ import annotations

from collections.abc import Sequence

from napari_dojo.playground.image_settings import KERNEL, Architecture
from napari_dojo.playground.settings import NetShape

__all__ = ["cnn_sum", "dense_sum", "parameter_sum", "shared_words", "split_words", "update_sum", "updates_per_epoch"]


def parameter_sum(net: NetShape) -> str:
    """The parameter count written out, such as "2·4+4 + 4·1+1 = 17": weights and biases of each layer."""
    layers = [f"{before}·{units}+{units}" for before, units in net.widths]
    return f"{' + '.join(layers)} = {net.parameters}"


def cnn_sum(net: Architecture) -> str:
    """The parameter count of the convolutional network, such as "9·8+8 + 9·8·16+16 + 144·10+10 = 2698"."""
    layers = [
        f"{KERNEL**2}{f'·{before}' if before > 1 else ''}·{kernels}+{kernels}" for before, kernels in net.convolutions
    ]
    return f"{' + '.join([*layers, f'{net.features}·{net.classes}+{net.classes}'])} = {net.parameters}"


def dense_sum(net: Architecture) -> str:
    """The parameter count of the dense network for images, such as "144·17+17 + 17·10+10 = 2645"."""
    layers = [f"{before}·{units}+{units}" for before, units in net.dense_widths]
    return f"{' + '.join(layers)} = {net.dense_parameters}"


def shared_words(net: Architecture) -> str:
    """Why the first convolution layer has so few parameters, beside the first dense layer."""
    kernels, (inputs, units) = net.kernels[0], net.dense_widths[0]
    shared = KERNEL**2 * kernels + kernels
    return (
        f"First layer: {KERNEL**2} weights x {kernels} kernel{'s' * (kernels > 1)} + {kernels} = {shared:,}, shared by all "
        f"{net.side**2} places. The dense one: {inputs} inputs x {units} units + {units} = {inputs * units + units:,}."
    )


def split_words(counts: Sequence[int], word: str = "points") -> str:
    """How examples are split: "60 points: ● 36 training, ■ 12 validation, ◆ 12 test"."""
    parts = zip("●■◆", counts, ("training", "validation", "test"), strict=True)
    total = sum(counts)
    return f"{total} {word[:-1] if total == 1 else word}: {', '.join(f'{sign} {n} {name}' for sign, n, name in parts)}"


def updates_per_epoch(points: int, batch_size: int) -> int:
    """Mini-batches per epoch; the last may be smaller. Batch size 0 means all points."""
    return -(-points // (batch_size or points))


def update_sum(points: int, batch_size: int) -> str:
    """The updates per epoch written out, such as "500 / 16 = 32 (rounded up)"."""
    size = min(batch_size or points, points)
    rounded = " (rounded up)" if points % size else ""
    return f"{points} / {size} = {updates_per_epoch(points, size)}{rounded}"
