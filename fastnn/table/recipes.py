"""What is trained on a table: three recipes, and the training of one network for each part that is held out.

Design
A. A network sees the columns of a ``Layout``: scaled numbers, columns of 0 and 1, and codes, which become vectors. Two recipes also
   give each number a vector, made of waves (Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular Deep
   Learning", NeurIPS 2022), beside the number itself.
B. With few rows several networks are trained, each on all rows but a part of its own, which decides its best epoch. Their mean
   predicts, so that no row is lost to validation, and every row has a prediction of a network that has not seen it.
C. The numbers of the recipes were chosen on generated tables and the training parts of a few more, once for all tables; sizes are such that
   2,000 rows take a few seconds on one core.
"""

import math
from dataclasses import dataclass

import numpy as np

from fastnn.callbacks import EarlyStopping
from fastnn.history import History
from fastnn.layers import (
    MLP,
    SELU,
    Columns,
    Dropout,
    Embedding,
    Ensemble,
    Flatten,
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
    """

    model: Sequential
    trainer: dict
    fit: dict
    patience: int


@dataclass
class Fitted:
    """Networks, what those that had not seen them make of the rows held out, and how the first one's training went."""

    models: list
    held: np.ndarray
    outputs: np.ndarray
    history: History
    best_epochs: list


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
    """RealMLP-TD in small (Holzmueller, Grinsztajn and Steinwart, "Better by Default", NeurIPS 2024): scaling layer, label smoothing."""
    rng, epochs, batch_size = Philox(seed), epochs or 100, _batch_size(rows)
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
        model, {"loss": loss, "optimizer": optimizer, "groups": groups}, {"epochs": epochs, "batch_size": batch_size}, epochs
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
DEFAULT = "tabm"


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


def fit(x, y, layout, head, *, preset, folds, epochs=None, seed=0, verbose="auto", callbacks=()):
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
    epochs, seed, verbose, callbacks
        As for ``recipe`` and ``Trainer.fit``.

    Returns
    -------
    Fitted
    """
    models, made, best_epochs, history = [], [], [], None
    for i, held in enumerate(folds):
        at_end = held[0] == len(x) - len(held)  # both parts are views then
        kept = slice(0, held[0]) if at_end else np.setdiff1d(np.arange(len(x)), held)
        held = slice(held[0], None) if at_end else held
        train = x[kept], y[kept]
        own = (seed + i) % 2**64
        this = recipe(preset, layout, head, rows=len(train[0]), epochs=epochs, seed=own)
        trainer = Trainer(this.model, **this.trainer, seed=own)
        stop = EarlyStopping(patience=this.patience)
        trainer.fit(
            *train, **this.fit, validation_data=(x[held], y[held]), callbacks=[stop, *callbacks], verbose=verbose
        )
        models.append(trainer.model)
        made.append(head.combined(outputs([trainer.model], x[held])))
        best_epochs.append(stop.best_epoch)
        history = history or trainer.history
    return Fitted(models, np.concatenate(folds), np.concatenate(made), history, best_epochs)


def outputs(models, x):
    """Return what each network makes of rows, in float64: probabilities, or standardised numbers."""
    return [
        np.asarray(model.predict_proba(x) if model.task == "classification" else model.predict(x), np.float64)
        for model in models
    ]
