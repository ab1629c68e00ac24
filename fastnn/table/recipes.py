"""What is trained on a table: three recipes, and the training of one network for each part that is held out.

Design
A. A network sees the columns of a ``Layout``: scaled numbers, columns of 0 and 1, and codes, which become vectors. Two recipes also
   give each number a vector, made of waves (Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
   Learning", NeurIPS 2022), beside the number itself.
B. With few rows several networks are trained side by side, each on all rows but a part of its own. The mean of the losses of all parts
   decides the best epoch, for one part would be too few rows for that. The mean of the networks predicts, so that no row is lost to
   validation, and every row has a prediction of a network that has not seen it.
C. The numbers of the recipes were chosen once for all tables, on other splits of those of docs/tables.md; sizes are such that 2,000 rows
   take some seconds on one core.
"""

import math
from dataclasses import dataclass

import numpy as np

from fastnn.callbacks import EarlyStopping
from fastnn.history import History, Progress
from fastnn.layers import (
    MLP,
    SELU,
    Columns,
    Dropout,
    Embedding,
    Ensemble,
    Flatten,
    Hardtanh,
    Identity,
    Linear,
    Mish,
    Periodic,
    ReLU,
    Scale,
    Sequential,
    Softmax,
)
from fastnn.losses import CrossEntropy, SparseCategoricalCrossentropy
from fastnn.optim import Adam, AdamW
from fastnn.random import Philox
from fastnn.schedules import Cosine, OneCycle
from fastnn.trainer import Trainer


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained.

    Attributes
    ----------
    model : Sequential
    trainer, fit : dict
        Arguments of ``Trainer`` beside the model, and of its ``fit``.
    patience : int
        Epochs without a better validation loss after which training ends.
    clips : bool
        Whether numbers that are predicted stay between the smallest and the largest target of the training.
    """

    model: Sequential
    trainer: dict
    fit: dict
    patience: int
    clips: bool = False


@dataclass
class Fitted:
    """Networks, what those that had not seen them make of the rows held out, and how training went."""

    models: list
    held: np.ndarray
    outputs: np.ndarray
    history: History


def _columns(layout, rng, frequencies=0, features=0, sigma=0.1):
    """Return the layers that make numbers of the columns of a layout, and how many.

    Parameters
    ----------
    layout : Layout
    rng : Philox
    frequencies, features, sigma : int, int, float
        Of the waves of each number, the vector made of them, and the deviation of the frequencies; no waves for 0.
    """
    numbers = layout.numeric + layout.one_hot
    branches, width = [], 0
    if layout.numeric and frequencies:
        shared = Linear(2 * frequencies, features, rng=rng)
        waves = Sequential(Periodic(layout.numeric, frequencies, sigma, rng=rng), shared, Flatten())
        branches.append((range(layout.numeric), waves))
        width += layout.numeric * features
    if numbers:
        branches.append((range(numbers), Identity()))
        width += numbers
    for i, size in enumerate(layout.embedded):
        dim = min(16, 1 + size // 2)
        branches.append((numbers + i, Embedding(size, dim, rng=rng)))
        width += dim
    alone = len(branches) == 1 and numbers and not frequencies
    return ([] if alone else [Columns(branches)]), width


def _batch_size(rows):
    """Return the rows of a minibatch: a power of two, of which an epoch has eight or more, between 16 and 256."""
    return 2 ** min(8, max(4, int(math.log2(max(rows / 8, 1)))))


def _hidden(width, sizes, activation, dropout, rng, seed):
    """Return Linear, activation and Dropout for each of the sizes."""
    layers = []
    for size in sizes:
        layers += [Linear(width, size, rng=rng), activation()]
        if dropout:
            layers.append(Dropout(dropout, seed=seed, layer=len(layers)))
        width = size
    return layers


def _plain(layout, head, rows, epochs, seed):
    """A multilayer perceptron with Adam, as most people write it."""
    first, width = _columns(layout, Philox(seed))
    model = Sequential(*first, *MLP((width, 128, 128, head.outputs), seed=seed).layers)
    return Recipe(
        model, {"loss": head.loss or CrossEntropy(), "optimizer": Adam(lr=1e-3)},
        {"epochs": epochs or 200, "batch_size": min(128, _batch_size(rows))}, 20,
    )  # fmt: skip


def _realmlp(layout, head, rows, epochs, seed):
    """RealMLP-TD in small (Holzmueller, Grinsztajn and Steinwart, "Better by Default", NeurIPS 2024).

    It has a scaling layer, smooths labels, and predicts no number beyond those of the training.
    """
    rng, epochs, batch_size = Philox(seed), epochs or min(100, max(16, 8_000_000 // rows)), _batch_size(rows)
    first, width = _columns(layout, rng, frequencies=12, features=4)
    activation = SELU if head.task == "classification" else Mish
    layers = _hidden(width, (128, 128, 128), activation, 0.15, rng, seed)
    model = Sequential(*first, Scale(width), *layers, Linear(128, head.outputs, rng=rng))
    cycle = -(-epochs * -(-rows // batch_size) // 15)  # the first of four, each twice as long as the one before

    def rate(factor):
        return Cosine(factor * 3e-3, cycle, restarts=True, T_mult=2, by="step")

    groups = {"*.bias": {"lr": rate(0.3), "weight_decay": 0.0}, f"{len(first)}.weight": {"lr": rate(6)}}
    optimizer = AdamW(lr=rate(1), betas=(0.9, 0.95), weight_decay=0.02)
    loss = head.loss or CrossEntropy(label_smoothing=0.1)
    return Recipe(
        model, {"loss": loss, "optimizer": optimizer, "groups": groups}, {"epochs": epochs, "batch_size": batch_size}, epochs,
        clips=head.is_mean,
    )  # fmt: skip


def _tabm(layout, head, rows, epochs, seed):
    """TabM in small (Gorishniy, Kotelnikov and Babenko, ICLR 2025): members that share weights, each trained on its own loss."""
    rng, batch_size = Philox(seed), _batch_size(rows)
    epochs = epochs or min(40, max(8, 4_000_000 // rows))
    first, width = _columns(layout, rng, frequencies=12, features=4)
    layers = [*_hidden(width, (64, 64), ReLU, 0.1, rng, seed), Linear(64, head.outputs, rng=rng)]
    if head.task == "classification":
        layers.append(Softmax())
    model = Sequential(*first, Ensemble(8, *layers, rng=rng))
    steps = epochs * -(-rows // batch_size)
    optimizer = AdamW(lr=OneCycle(5e-3, total_steps=steps), weight_decay=1e-3)
    loss = head.loss or SparseCategoricalCrossentropy()
    return Recipe(
        model, {"loss": loss, "optimizer": optimizer}, {"epochs": epochs, "batch_size": batch_size}, 12
    )  # fmt: skip


PRESETS = {"plain": _plain, "realmlp": _realmlp, "tabm": _tabm}
DEFAULT = "realmlp"


def recipe(preset, layout, head, *, rows, epochs=None, seed=0):
    """Return the Recipe of a preset.

    Parameters
    ----------
    preset : str
        A name of ``PRESETS``.
    layout : Layout
        Of the preprocessed columns.
    head : Head
        What is to be predicted.
    rows : int
        To train on.
    epochs : int, optional
        At most; the recipe's own number if None.
    seed : int
    """
    made = PRESETS[preset](layout, head, rows, epochs, seed)
    made.model.task = head.task
    return made


def fit(x, y, layout, head, *, preset, folds, epochs=None, seed=0, verbose="auto"):
    """Train a network for each fold, on the rows that are not in it.

    Parameters
    ----------
    x : ndarray of float32, shape (rows, layout.width)
    y : ndarray
        Classes from 0 on, or standardised numbers (rows, 1).
    layout : Layout
    head : Head
    preset : str
    folds : list of ndarray of int64
        The rows to hold out, ascending.
    epochs, seed, verbose
        As for ``recipe`` and ``Trainer.fit``.

    Returns
    -------
    Fitted
    """
    parts, trainers = [], []
    for i, held in enumerate(folds):
        at_end = held[0] == len(x) - len(held)  # both parts are views then
        kept = slice(0, held[0]) if at_end else np.setdiff1d(np.arange(len(x)), held)
        held = slice(held[0], None) if at_end else held
        parts.append((x[kept], y[kept], x[held], y[held]))
        own = (seed + i) % 2**64
        this = recipe(preset, layout, head, rows=len(parts[0][0]), epochs=epochs, seed=own)
        trainers.append(Trainer(this.model, **this.trainer, seed=own))
    if len(folds) == 1:
        [trainer], [(*rows, held_x, held_y)] = trainers, parts
        stop = EarlyStopping(patience=this.patience)
        history = trainer.fit(*rows, **this.fit, validation_data=(held_x, held_y), callbacks=stop, verbose=verbose)
    else:
        history = _fit_together(trainers, parts, this, verbose)
    models = [trainer.model for trainer in trainers]
    if this.clips:
        models = [_within(model, part[1]) for model, part in zip(models, parts, strict=True)]
    made = [head.combined(outputs([model], part[2])) for model, part in zip(models, parts, strict=True)]
    return Fitted(models, np.concatenate(folds), np.concatenate(made), history)


def _within(model, y):
    """Return a network of the same layers whose outputs stay within the range of y; equal targets give none."""
    low, high = float(y.min()), float(y.max())
    clipped = Sequential(*model.layers, *([Hardtanh(low, high)] if low < high else ()))
    clipped.task = model.task
    return clipped


def _fit_together(trainers, parts, this, verbose):
    """Train networks side by side, each on its part, until their common validation loss has not improved for ``patience`` epochs.

    At the end they have the weights of the best epoch. The history that is returned holds means over the networks.
    """
    history, best, lowest, weights = History(trainers[0].seed), 0, math.inf, []
    counts, held = ([len(part[i]) for part in parts] for i in (0, 2))
    options = this.fit | {"epochs": 1, "verbose": False}
    with Progress(verbose, this.fit["epochs"], sum(counts)) as progress:
        for epoch in range(1, this.fit["epochs"] + 1):
            progress.begin_epoch()
            losses, validated = [], []
            for i, (trainer, (x, y, *rest)) in enumerate(zip(trainers, parts, strict=True)):
                losses += trainer.fit(x, y, **options)["loss"]
                validated.append(trainer.evaluate(*rest))
                progress.minibatch(sum(counts[: i + 1]), lambda losses=losses: {"loss": np.mean(losses)})
            values = {"loss": float(np.average(losses, weights=counts))}
            values |= {
                f"val_{name}": float(np.average([one[name] for one in validated], weights=held))
                for name in validated[0]
            }
            history.record(values)
            progress.end_epoch(values)
            if values["val_loss"] < lowest:
                best, lowest, weights = epoch, values["val_loss"], [one.model.state_dict() for one in trainers]
            if epoch - best >= this.patience:
                break
    for trainer, state in zip(trainers, weights, strict=False):
        trainer.model.load_state_dict(state)
    return history


def outputs(models, x):
    """Return what each network makes of rows, in float64: probabilities, or standardised numbers."""
    return [
        np.asarray(model.predict_proba(x) if model.task == "classification" else model.predict(x), np.float64)
        for model in models
    ]
