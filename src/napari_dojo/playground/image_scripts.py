"""Export a classroom session on images as a stand-alone PyTorch or Keras script."""

from __future__ import annotations

from napari_dojo.playground.image_session import MOST_SCORED
from napari_dojo.playground.image_settings import ImageSetup
from napari_dojo.playground.images import MARGIN, SHIFT

__all__ = ["image_keras_lines", "image_torch_lines"]


def image_torch_lines(setup: ImageSetup, optimizer: str) -> list[str]:
    """A PyTorch script that gives the same numbers as the classroom; ``optimizer`` : a call, of ``parameters``."""
    learning, (n, _, _) = setup.learning, _counts(setup)
    moved = ["        x = shifted(x, rng)"] if setup.learning.shifts else []
    return [
        f'"""Exported from the napari-dojo classroom. It needs numpy, {_source(setup)} and PyTorch."""',
        "",
        "import numpy as np",
        "import torch",
        *_imports(setup),
        "from torch import nn",
        "",
        *_images(setup),
        *_start(setup),
        *(_TORCH_SHIFT.format(far=setup.learning.shifts, margin=SHIFT).splitlines() if setup.learning.shifts else []),
        "# The networks; 3 x 3 kernels are shared by all places of an image",
        "cnn = nn.Sequential(",
        *(f"    {layer}," for layer in _torch_cnn(setup)),
        ").double()",
        "dense = nn.Sequential(",
        *(f"    {layer}," for layer in _torch_dense(setup)),
        ").double()",
        *_TORCH_WEIGHTS.splitlines(),
        "",
        "# Training: both networks see the same mini-batches",
        "images, targets = torch.tensor(images), torch.tensor(value)",
        "parameters = [*cnn.parameters(), *dense.parameters()]",
        f"optimizer = {optimizer}",
        "loss_of = nn.CrossEntropyLoss()  # includes the softmax",
        f"for epoch in range({learning.epochs}):",
        f"    order = rng.permutation({n})",
        f"    for first in range(0, {n}, {learning.batch_size or n}):",
        f"        batch = order[first : first + {learning.batch_size or n}]",
        "        x, target = images[batch], targets[batch]",
        *moved,
        "        loss = loss_of(cnn(x), target) + loss_of(dense(x), target)",
        *_torch_penalties(setup),
        "        optimizer.zero_grad()",
        "        loss.backward()",
        "        optimizer.step()",
        "",
        "# Scores",
        "with torch.no_grad():",
        "    for title, net in (('convolutional', cnn), ('dense', dense)):",
        "        print(f'{title}: {sum(p.numel() for p in net.parameters())} parameters')",
        "        for name, part in parts.items():",
        "            if len(images[part]):",
        "                sums = net(images[part])",
        "                right = (sums.argmax(1) == targets[part]).double().mean()",
        '                print(f"{name}: loss {loss_of(sums, targets[part]):.6f}, accuracy {right:.4f}")',
    ]


def image_keras_lines(setup: ImageSetup, optimizer: str) -> list[str]:
    """A Keras script with the classroom's images and initial weights; Keras shuffles by itself, so scores differ slightly."""
    learning = setup.learning
    return [
        f'"""Exported from the napari-dojo classroom. It needs numpy, {_source(setup)}, Keras 3 with PyTorch, TensorFlow or JAX."""',
        "",
        "import os",
        "",
        'os.environ.setdefault("KERAS_BACKEND", "torch")  # or "tensorflow" or "jax"; before Keras is imported',
        "",
        "import keras",
        "import numpy as np",
        "from keras import layers",
        *_imports(setup),
        "",
        *_images(setup),
        "images = images.transpose(0, 2, 3, 1)  # Keras has channels last",
        *_start(setup),
        f"keras.utils.set_random_seed({setup.seed})  # for the order of the images",
        *_keras_penalty(setup),
        "",
        "# The networks; 3 x 3 kernels are shared by all places of an image",
        "cnn = keras.Sequential([",
        *(f"    {layer}," for layer in _keras_cnn(setup)),
        "])",
        "dense = keras.Sequential([",
        *(f"    {layer}," for layer in _keras_dense(setup)),
        "])",
        *_KERAS_WEIGHTS.splitlines(),
        "",
        "# Training and scores",
        "for title, net in (('convolutional', cnn), ('dense', dense)):",
        f"    net.compile(optimizer={optimizer}, loss='sparse_categorical_crossentropy', metrics=['accuracy'])",
        "    training = parts['training']",
        "    net.fit(",
        f"        images[:{_counts(setup)[0]}], value[:{_counts(setup)[0]}],",
        f"        batch_size={learning.batch_size or _counts(setup)[0]}, epochs={learning.epochs}, verbose=0,",
        "    )",
        "    print(f'{title}: {net.count_params()} parameters')",
        "    for name, part in parts.items():",
        "        if len(images[part]):",
        "            loss, right = net.evaluate(images[part], value[part], verbose=0)",
        '            print(f"{name}: loss {loss:.6f}, accuracy {right:.4f}")',
    ]


# the images and the initial weights, the same in both


def _counts(setup: ImageSetup) -> tuple[int, int, int]:
    chosen = setup.images
    return chosen.training, chosen.validation, chosen.test


def _source(setup: ImageSetup) -> str:
    """The package that the images come with."""
    return {"digits": "scikit-learn", "cells": "napari-dojo"}[setup.images.content]


def _imports(setup: ImageSetup) -> list[str]:
    load = {
        "digits": "from sklearn.datasets import load_digits",
        "cells": "from napari_dojo.playground.images import cells",
    }
    return [load[setup.images.content]]


def _loaded(setup: ImageSetup, count: int) -> list[str]:
    """Lines that load ``count`` images, (n, 1, Y, X) from 0 to 1, in random order."""
    if setup.images.content == "cells":
        return [
            "images, value = cells()",
            f"order = rng.permutation(len(value))[:{count}]",
            "images, value = images[order][:, None], value[order]",
        ]
    return [
        "digits = load_digits()",
        f"order = rng.permutation(len(digits.target))[:{count}]",
        f"images = np.pad(digits.images[order] / 16, ((0, 0), ({MARGIN}, {MARGIN}), ({MARGIN}, {MARGIN})))[:, None]",
        "value = digits.target[order]",
    ]


def _images(setup: ImageSetup) -> list[str]:
    """Lines that load the images and split them."""
    n, validation, test = _counts(setup)
    return [
        "# The images",
        f"rng = np.random.default_rng({setup.seed})",
        *_loaded(setup, n + validation + test),
        "parts = {",
        f"    'training': slice(0, {min(n, MOST_SCORED)}),  # those that are scored",
        f"    'validation': slice({n}, {n + validation}),",
        f"    'test': slice({n + validation}, {n + validation + test}),",
        "}",
        "",
    ]


def _start(setup: ImageSetup) -> list[str]:
    """Lines that draw the initial weights: for each network a list of weights (inputs, units) and biases (units,)."""
    net = setup.architecture
    cnn = [(before * 9, kernels) for before, kernels in net.convolutions] + [(net.features, net.classes)]
    lines = [
        "start = []",
        f"for widths in ({list(map(list, cnn))}, {list(map(list, net.dense_widths))}):",
        "    start.append([])",
        "    for i, (before, units) in enumerate(widths):",
        "        limit = np.sqrt(6 / (before + units * (i == len(widths) - 1)))",
        "        start[-1].append((rng.uniform(-limit, limit, (before, units)), np.zeros(units)))",
    ]
    if setup.attempt:
        again = f"for attempt in range({setup.attempt + 1}):  # new initial weights were drawn"
        lines = [again, *(f"    {line}" for line in lines)]
    return ["# The initial weights", *lines, ""]


# PyTorch

_TORCH_SHIFT = '''
def shifted(x, rng):
    """Each image shifted by up to {far} px, at random."""
    by = rng.integers(-{far}, {far} + 1, (len(x), 2))
    far = nn.functional.pad(x, [{margin}] * 4)
    starts = {margin} - by
    side = x.shape[-1]
    return torch.stack([image[:, y : y + side, z : z + side] for image, (y, z) in zip(far, starts)])


'''

_TORCH_WEIGHTS = """for net, weights in zip((cnn, dense), start):
    layers = [layer for layer in net if isinstance(layer, nn.Conv2d | nn.Linear)]
    maps = 1  # of the last convolution layer
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, weights):
            if isinstance(layer, nn.Conv2d):
                maps = layer.out_channels
                layer.weight.copy_(torch.tensor(weight.T.reshape(layer.weight.shape)))
            else:  # PyTorch has the feature maps one after the other
                weight = weight.reshape(-1, maps, weight.shape[1]).transpose(2, 1, 0).reshape(weight.shape[1], -1)
                layer.weight.copy_(torch.tensor(weight))
                maps = 1
            layer.bias.copy_(torch.tensor(bias))"""


def _torch_cnn(setup: ImageSetup) -> list[str]:
    net = setup.architecture
    layers = []
    for before, kernels in net.convolutions:
        layers += [f"nn.Conv2d({before}, {kernels}, 3, padding=1)", "nn.ReLU()"]
        layers += ["nn.MaxPool2d(2)"] * (net.pooling == "max")
    layers += ["nn.AdaptiveMaxPool2d(1)"] * (net.pooling == "global")
    return [*layers, "nn.Flatten()", f"nn.Linear({net.features}, {net.classes})"]


def _torch_dense(setup: ImageSetup) -> list[str]:
    layers = ["nn.Flatten()"]
    for before, units in setup.architecture.dense_widths:
        layers += [f"nn.Linear({before}, {units})", "nn.ReLU()"]
    return layers[:-1]


def _torch_penalties(setup: ImageSetup) -> list[str]:
    learning, weights = setup.learning, "for p in parameters if p.ndim > 1)"
    return [
        f"        loss = loss + {factor!r} * sum({of} {weights}"
        for factor, of in ((learning.l1, "p.abs().sum()"), (learning.l2, "(p**2).sum()"))
        if factor
    ]


# Keras

_KERAS_WEIGHTS = """for net, weights in zip((cnn, dense), start):  # without these lines, Keras draws other initial weights
    arrays = []
    for (weight, bias), shape in zip(weights, [w.shape for w in net.get_weights()[::2]]):
        if len(shape) == 4:  # (3, 3, channels, kernels)
            weight = weight.reshape(shape[2], 3, 3, shape[3]).transpose(1, 2, 0, 3)
        arrays += [weight, bias]
    net.set_weights(arrays)"""


def _keras_penalty(setup: ImageSetup) -> list[str]:
    learning = setup.learning
    if not (learning.l1 or learning.l2):
        return []
    return [f"penalty = keras.regularizers.L1L2(l1={learning.l1!r}, l2={learning.l2!r})"]


def _keras_cnn(setup: ImageSetup) -> list[str]:
    net, penalty = setup.architecture, ", kernel_regularizer=penalty" if _keras_penalty(setup) else ""
    layers = _keras_input(setup)
    for _, kernels in net.convolutions:
        layers.append(f'layers.Conv2D({kernels}, 3, padding="same", activation="relu"{penalty})')
        layers += ["layers.MaxPooling2D(2)"] * (net.pooling == "max")
    layers.append("layers.GlobalMaxPooling2D()" if net.pooling == "global" else "layers.Flatten()")
    return [*layers, f'layers.Dense({net.classes}, activation="softmax"{penalty})']


def _keras_dense(setup: ImageSetup) -> list[str]:
    penalty = ", kernel_regularizer=penalty" if _keras_penalty(setup) else ""
    hidden = [f'layers.Dense({units}, activation="relu"{penalty})' for units in setup.net.hidden]
    return [
        *_keras_input(setup),
        "layers.Flatten()",
        *hidden,
        f'layers.Dense({setup.architecture.classes}, activation="softmax"{penalty})',
    ]


def _keras_input(setup: ImageSetup) -> list[str]:
    side, far = setup.architecture.side, setup.learning.shifts
    lines = [f"keras.Input(shape=({side}, {side}, 1))"]
    if far:
        part = f"{far} / {side}"
        lines.append(f'layers.RandomTranslation({part}, {part}, fill_mode="constant", interpolation="nearest")')
    return lines
