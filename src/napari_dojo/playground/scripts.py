"""Export a classroom session as a stand-alone PyTorch or Keras script."""

from __future__ import annotations

import ast
import inspect
import textwrap

from napari_dojo.playground.formula import Formula
from napari_dojo.playground.image_scripts import image_keras_lines, image_torch_lines
from napari_dojo.playground.image_settings import ImageSetup
from napari_dojo.playground.kinds import AnySetup
from napari_dojo.playground.losses import LOSSES, TINY
from napari_dojo.playground.optimizers import BETA_1, BETA_2, MOMENTUM, RHO
from napari_dojo.playground.points import FORMULAS, KINDS, split_rows
from napari_dojo.playground.settings import FEATURES, Learning, Setup

__all__ = ["keras_script", "torch_script"]

LIMITS = {"glorot": "np.sqrt(6 / (before + units))", "he": "np.sqrt(6 / before)"}


def torch_script(setup: AnySetup) -> str:
    """A PyTorch script that gives the same numbers as the classroom."""
    if isinstance(setup, ImageSetup):
        return _joined(image_torch_lines(setup, _torch_optimizer(setup.learning, "parameters")))
    learning, n = setup.learning, _counts(setup)[0]
    lines = [
        '"""Exported from the napari-dojo classroom. It needs numpy and PyTorch."""',
        "",
        "import numpy as np",
        "import torch",
        "from torch import nn",
        "",
        *_points(setup),
        "inputs, targets = torch.tensor(inputs), torch.tensor(targets)",
        "",
        *_start(setup),
        "# The network",
        *_torch_net(setup),
        "",
        *_torch_loss(setup),
        "# Training",
        f"optimizer = {_torch_optimizer(setup.learning)}",
        *(["best, waited = np.inf, 0"] if _stops(setup) else []),
        f"for epoch in range({learning.epochs}):",
        f"    order = rng.permutation({n})",
        f"    for first in range(0, {n}, {learning.batch_size or n}):",
        f"        batch = order[first : first + {learning.batch_size or n}]",
        "        loss = loss_of(net(inputs[batch]), targets[batch])",
    ]
    if learning.l1:
        lines.append(f"        loss = loss + {learning.l1!r} * sum(layer.weight.abs().sum() for layer in dense)")
    if learning.l2:
        lines.append(f"        loss = loss + {learning.l2!r} * sum((layer.weight**2).sum() for layer in dense)")
    lines += ["        optimizer.zero_grad()", "        loss.backward()", "        optimizer.step()"]
    if _stops(setup):
        lines += textwrap.indent(_TORCH_STOP.format(patience=learning.patience), "    ").splitlines()
    lines += [
        "",
        "# Scores",
        "net.eval()",
        "with torch.no_grad():",
        "    sums = net(inputs)",
        f"    outputs = {_last(setup)}.numpy()",
        "    losses = [float(loss_of(sums[p], targets[p])) if len(sums[p]) else np.nan for p in parts]",
        *_scores(setup),
    ]
    return _joined(lines)


_TORCH_STOP = """
net.eval()
with torch.no_grad():
    now = float(loss_of(net(inputs[parts[1]]), targets[parts[1]]))
net.train()
if now < best:
    best, waited, kept = now, 0, [p.detach().clone() for p in net.parameters()]
else:
    waited += 1
    if waited >= {patience}:
        with torch.no_grad():
            for parameter, good in zip(net.parameters(), kept):
                parameter.copy_(good)
        break
"""


def keras_script(setup: AnySetup) -> str:
    """A Keras script with `Sequential`, `Dense`, `compile`, `fit`; with a skip connection `Model`.

    It has the classroom's points and initial weights, but Keras shuffles the points itself, so scores differ slightly.
    """
    if isinstance(setup, ImageSetup):
        return _joined(image_keras_lines(setup, _keras_optimizer(setup.learning)))
    learning = setup.learning
    fit = [
        "net.fit(",
        "    inputs[parts[0]], targets[parts[0]],",
        f"    batch_size={learning.batch_size or _counts(setup)[0]}, epochs={learning.epochs}, verbose=0,",
    ]
    if _counts(setup)[1]:
        fit.append("    validation_data=(inputs[parts[1]], targets[parts[1]]),")
    if _stops(setup):
        fit.append(
            f"    callbacks=[keras.callbacks.EarlyStopping(patience={learning.patience}, restore_best_weights=True)],"
        )
    lines = [
        '"""Exported from the napari-dojo classroom. It needs numpy and Keras 3 with PyTorch, TensorFlow or JAX."""',
        "",
        "import os",
        "",
        'os.environ.setdefault("KERAS_BACKEND", "torch")  # or "tensorflow" or "jax"; before Keras is imported',
        "",
        "import keras",
        "import numpy as np",
        "from keras import layers",
        "",
        *_points(setup),
        "",
        *_start(setup),
        f"keras.utils.set_random_seed({setup.seed})  # for the order of the points{_and_dropout(setup)}",
        "",
        "# The network",
        *_keras_net(setup),
        "net.set_weights([array for pair in start for array in pair])  # without this line, Keras draws other initial weights",
        "",
        *_keras_loss(setup),
        f"net.compile(optimizer={_keras_optimizer(setup.learning)}, loss=loss, metrics=[{_keras_metric(setup)}])",
        "",
        "# Training",
        *fit,
        ")",
        "",
        "# Scores",
        "outputs = net.predict(inputs, verbose=0)",
        "losses = [net.evaluate(inputs[p], targets[p], verbose=0)[0] if len(inputs[p]) else np.nan for p in parts]",
        *_scores(setup),
    ]
    return _joined(lines)


# The points, the same in both


def _counts(setup: Setup) -> tuple[int, int, int]:
    points = setup.points
    return split_rows(points)[2] if points.kind == "custom" else (points.training, points.validation, points.test)


def _points(setup: Setup) -> list[str]:
    """Lines that generate the points, add label noise, split, z-score and compute inputs and targets."""
    points, counts = setup.points, _counts(setup)
    lines = [
        "# The points",
        f"rng = np.random.default_rng({setup.seed})",
        f"counts = {list(counts)}",
        "n = sum(counts)",
    ]
    if points.kind == "custom":
        xy, value, _, _ = split_rows(points)
        lines += [f"xy = np.array({xy.tolist()})", f"value = np.array({value.tolist()})"]
    else:
        lines += [*_draw(setup), "value = value.astype(float)"]
        if points.label_noise and points.n_classes:
            lines += [
                f"wrong = rng.choice(n, {round(points.label_noise * sum(counts))}, replace=False)  # label noise",
                f"value[wrong] = (value[wrong] + rng.integers(1, {points.n_classes}, len(wrong))) % {points.n_classes}",
            ]
        lines += ["order = rng.permutation(n)", "xy, value = xy[order], value[order]"]
    lines.append(f"parts = [slice(0, {counts[0]}), slice({counts[0]}, {sum(counts[:2])}), slice({sum(counts[:2])}, n)]")
    if points.zscore:
        lines += [
            "mean, deviation = xy[parts[0]].mean(0), xy[parts[0]].std(0)  # of the training points alone",
            "xy = (xy - mean) / np.where(deviation == 0, 1, deviation)",
        ]
    made = ", ".join(FEATURES[name] for name in setup.net.inputs)
    one_hot = f"np.eye({points.n_classes})[value.astype(int)]  # one-hot"
    return [
        *lines,
        "x, y = xy.T",
        f"inputs = np.stack([{made}], axis=1)",
        f"targets = {one_hot if setup.net.outputs > 1 else 'value[:, None]'}",
    ]


def _draw(setup: Setup) -> list[str]:
    """The source of the function that generates the points, and its call."""
    points, kind = setup.points, KINDS[setup.points.kind]
    noise = kind.noise if points.noise is None else points.noise
    if kind.draw is None:
        return [
            "xy = rng.uniform(-1, 1, (n, 2))",
            "x, y = xy.T",
            f"value = {Formula(FORMULAS.get(points.kind, points.formula)).numpy}",
            f"xy = xy + rng.normal(0, {noise!r}, (n, 2))",
        ]
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind.draw)))
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
    more = f", {points.classes}" if points.kind == "clusters" else ""
    return [
        "",
        "",
        *ast.unparse(tree).splitlines(),
        "",
        "",
        f"xy, value = {kind.draw.__name__}(rng, n, {noise!r}{more})",
    ]


def _start(setup: Setup) -> list[str]:
    """Lines that draw the initial weights: a list of weights (inputs, units) and biases (units,)."""
    start = setup.net.initializer
    lines = ["start = []", f"for before, units in {[list(pair) for pair in setup.net.widths]}:"]
    if start == "zero":
        draw = "np.zeros((before, units))"
    elif start == "random":
        draw = "rng.normal(0, 1, (before, units))"
    else:
        lines.append(f"    limit = {LIMITS[start]}")
        draw = "rng.uniform(-limit, limit, (before, units))"
    lines.append(f"    start.append(({draw}, np.zeros(units)))")
    if setup.attempt:
        again = f"for attempt in range({setup.attempt + 1}):  # new initial weights were drawn"
        lines = [again, *(f"    {line}" for line in lines)]
    return ["# The initial weights", *lines, ""]


def _scores(setup: Setup) -> list[str]:
    """Lines that print loss and accuracy (for regression R²) of the three sets."""
    classes = setup.points.n_classes
    lines = []
    if not classes:
        lines.append("predicted = outputs[:, 0]")
    elif setup.net.outputs > 1:
        lines.append("predicted = outputs.argmax(1)")
    else:
        lines.append(f"predicted = np.clip(np.ceil(outputs[:, 0] - 0.5), 0, {classes - 1})")
    lines += [
        'for name, part, loss in zip(["training", "validation", "test"], parts, losses):',
        "    if not len(value[part]):",
        "        continue",
    ]
    if classes:
        lines.append("    right = np.mean(predicted[part] == value[part])")
        lines.append('    print(f"{name}: loss {loss:.6f}, accuracy {right:.4f}")')
    else:
        lines.append("    r2 = 1 - np.mean((predicted[part] - value[part]) ** 2) / np.var(value[part])")
        lines.append('    print(f"{name}: loss {loss:.6f}, R2 {r2:.4f}")')
    return lines


def _stops(setup: Setup) -> bool:
    return setup.learning.patience > 0 and _counts(setup)[1] > 0


def _partners(setup: Setup) -> bool:
    output = setup.net.output
    return LOSSES[setup.learning.loss].partner == output and (output != "softmax" or setup.net.outputs > 1)


def _joined(lines: list[str]) -> str:
    """The lines as one text, with at most two empty lines in a row."""
    text = "\n".join(lines)
    while "\n\n\n\n" in text:
        text = text.replace("\n\n\n\n", "\n\n\n")
    return text + "\n"


# PyTorch


def _torch_net(setup: Setup) -> list[str]:
    """Lines that build the network without its output activation, and set the initial weights."""
    shape, dropout = setup.net, setup.learning.dropout
    activation = {
        "linear": "nn.Identity()",
        "sigmoid": "nn.Sigmoid()",
        "tanh": "nn.Tanh()",
        "relu": "nn.ReLU()",
        "leaky_relu": "nn.LeakyReLU(0.01)",
    }[shape.activation]
    lines = []
    if dropout and shape.hidden:
        lines += [*_TORCH_DROPOUT.format(rate=dropout).splitlines(), ""]
    hidden = []
    for before, units in shape.widths[:-1]:
        hidden += [f"nn.Linear({before}, {units})", activation, *(["Dropout()"] if dropout else [])]
    last = "nn.Linear({}, {})".format(*shape.widths[-1])
    if shape.skip and shape.hidden:
        layers = ", ".join(hidden)
        lines += [*_TORCH_SKIP.format(hidden=layers, last=last).splitlines(), "", "", "net = Net().double()"]
    else:
        lines += ["net = nn.Sequential(", *(f"    {layer}," for layer in [*hidden, last]), ").double()"]
    return [
        *lines,
        "dense = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]",
        "with torch.no_grad():",
        "    for layer, (weights, biases) in zip(dense, start):",
        "        layer.weight.copy_(torch.tensor(weights.T))",
        "        layer.bias.copy_(torch.tensor(biases))",
    ]


_TORCH_DROPOUT = '''

class Dropout(nn.Module):
    """Like nn.Dropout, but with numpy's random numbers, as in the classroom."""

    def forward(self, h):
        if not self.training:
            return h
        return h * torch.tensor((rng.random(tuple(h.shape)) >= {rate!r}) / (1 - {rate!r}))

'''

_TORCH_SKIP = '''

class Net(nn.Module):
    """Not sequential: the inputs also skip the hidden layers."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Sequential({hidden})
        self.last = {last}

    def forward(self, x):
        return self.last(torch.cat([self.hidden(x), x], dim=1))
'''


def _last(setup: Setup) -> str:
    return {"sigmoid": "torch.sigmoid(sums)", "softmax": "torch.softmax(sums, dim=1)", "linear": "sums"}[
        setup.net.output
    ]


def _torch_loss(setup: Setup) -> list[str]:
    """The loss as a function of the output layer's sums and the targets."""
    name = setup.learning.loss
    lines = ["", "def loss_of(sums, targets):"]
    if _partners(setup) and name == "binary_cross_entropy":
        lines.append("    return nn.functional.binary_cross_entropy_with_logits(sums, targets)  # includes the sigmoid")
    elif _partners(setup) and name == "categorical_cross_entropy":
        lines.append("    return nn.functional.cross_entropy(sums, targets)  # includes the softmax")
    else:
        lines.append(f"    p = {_last(setup)}")
        if name == "squared_error":
            lines.append("    return 0.5 * ((p - targets) ** 2).sum(1).mean()")
        elif name == "binary_cross_entropy":
            lines.append(f"    p = p.clamp({TINY}, 1 - {TINY})")
            lines.append("    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()")
        else:
            lines.append(f"    share = (p / p.sum(1, keepdim=True)).clamp({TINY}, 1 - {TINY})")
            lines.append("    return -(targets * share.log()).sum(1).mean()")
    return [*lines, "", ""]


def _torch_optimizer(learning: Learning, parameters: str = "net.parameters()") -> str:
    rate = f"{parameters}, lr={learning.learning_rate!r}"
    return {
        "sgd": f"torch.optim.SGD({rate})",
        "momentum": f"torch.optim.SGD({rate}, momentum={MOMENTUM})",
        "rmsprop": f"torch.optim.RMSprop({rate}, alpha={RHO}, eps={TINY})",
        "adam": f"torch.optim.Adam({rate}, betas=({BETA_1}, {BETA_2}), eps={TINY})",
    }[learning.optimizer]


# Keras


def _keras_net(setup: Setup) -> list[str]:
    shape, learning = setup.net, setup.learning
    penalty, begin, hidden = "", [], []
    if learning.l1 or learning.l2:
        begin = [f"penalty = keras.regularizers.L1L2(l1={learning.l1!r}, l2={learning.l2!r})"]
        penalty = ", kernel_regularizer=penalty"
    for _, units in shape.widths[:-1]:
        if shape.activation == "leaky_relu":
            hidden += [f"layers.Dense({units}{penalty})", "layers.LeakyReLU(negative_slope=0.01)"]
        else:
            hidden.append(f'layers.Dense({units}, activation="{shape.activation}"{penalty})')
        if learning.dropout:
            hidden.append(f"layers.Dropout({learning.dropout!r})")
    last = f'layers.Dense({shape.outputs}, activation="{shape.output}"{penalty})'
    if shape.skip and shape.hidden:
        lines = [*begin, f"given = keras.Input(shape=({len(shape.inputs)},))", "h = given"]
        lines += [f"h = {layer}(h)" for layer in hidden]
        lines.append("h = layers.Concatenate()([h, given])  # skip connection")
        return [*lines, f"net = keras.Model(given, {last}(h))"]
    first = f"keras.Input(shape=({len(shape.inputs)},))"
    return [*begin, "net = keras.Sequential([", *(f"    {layer}," for layer in [first, *hidden, last]), "])"]


def _and_dropout(setup: Setup) -> str:
    return " and dropout" if setup.learning.dropout else ""


def _keras_loss(setup: Setup) -> list[str]:
    """The loss by its Keras name, or as a function where Keras uses another factor or rejects the targets."""
    name = setup.learning.loss
    if name == "squared_error":
        body = ["    return 0.5 * keras.ops.sum((outputs - targets) ** 2, axis=-1)  # with a factor of 1/2"]
    elif name == "binary_cross_entropy" and setup.net.outputs == 1 and setup.points.n_classes != 2:
        body = [
            f"    p = keras.ops.clip(outputs, {TINY}, 1 - {TINY})",
            "    return -keras.ops.mean(targets * keras.ops.log(p) + (1 - targets) * keras.ops.log(1 - p), axis=-1)",
        ]
    else:
        return [f'loss = "{name.replace("cross_entropy", "crossentropy")}"']
    return ["", "def loss(targets, outputs):", *body, "", ""]


def _keras_metric(setup: Setup) -> str:
    return '"accuracy"' if setup.points.n_classes else '"mean_absolute_error"'


def _keras_optimizer(learning: Learning) -> str:
    rate = f"learning_rate={learning.learning_rate!r}"
    return {
        "sgd": f"keras.optimizers.SGD({rate})",
        "momentum": f"keras.optimizers.SGD({rate}, momentum={MOMENTUM})",
        "rmsprop": f"keras.optimizers.RMSprop({rate}, rho={RHO})",
        "adam": f"keras.optimizers.Adam({rate}, beta_1={BETA_1}, beta_2={BETA_2})",
    }[learning.optimizer]
