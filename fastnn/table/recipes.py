"""What is trained on a table."""

from dataclasses import dataclass

import numpy as np

from fastnn.callbacks import EarlyStopping
from fastnn.history import History
from fastnn.layers import MLP, Columns, Embedding, Identity, Sequential
from fastnn.optim import AdamW
from fastnn.trainer import Trainer

PRESETS = ("plain",)
DEFAULT = "plain"


@dataclass
class Fitted:
    """Networks, what those that had not seen them make of the rows held out, and how the first one's training went."""

    models: list
    held: np.ndarray
    outputs: np.ndarray
    history: History
    best_epochs: list


def _network(layout, outputs, task, seed):
    """Return a multilayer perceptron with embeddings for the columns of codes."""
    plain, width, branches = layout.numeric + layout.one_hot, layout.width, []
    if not layout.embedded:
        return MLP((width, 128, 128, outputs), dropout=0.1, task=task, seed=seed)
    if plain:
        branches.append((range(plain), Identity()))
    for i, size in enumerate(layout.embedded):
        dim = min(16, 1 + size // 2)
        branches.append((plain + i, Embedding(size, dim, rng=seed + i)))
        width += dim - 1
    model = Sequential(Columns(branches), *MLP((width, 128, 128, outputs), dropout=0.1, seed=seed).layers)
    model.task = task
    return model


def fit(x, y, layout, *, task, outputs, preset, epochs=None, folds=None, seed=0, verbose="auto"):
    """Train a network for each fold, on the rows that are not in it."""
    models, made, best_epochs, history = [], [], [], None
    for i, held in enumerate(folds):
        at_end = held[0] == len(x) - len(held)
        kept = slice(0, held[0]) if at_end else np.setdiff1d(np.arange(len(x)), held)
        held = slice(held[0], None) if at_end else held
        trainer = Trainer(
            _network(layout, outputs, task, seed + i),
            "cross_entropy" if task == "classification" else "mse",
            AdamW(lr=2e-3),
            seed=seed + i,
        )
        stop = EarlyStopping(patience=20)
        trainer.fit(
            x[kept], y[kept], epochs=epochs or 100, batch_size=256 if len(x) > 5000 else 32, validation_data=(x[held], y[held]),
            callbacks=stop, verbose=verbose,
        )  # fmt: skip
        models.append(trainer.model)
        made.append(predict([trainer.model], x[held]))
        best_epochs.append(stop.best_epoch)
        history = history or trainer.history
    return Fitted(models, np.concatenate(folds), np.concatenate(made), history, best_epochs)


def predict(models, x):
    """Return the mean of what the networks predict: probabilities, or standardised numbers."""
    made = (model.predict_proba(x) if model.task == "classification" else model.predict(x) for model in models)
    return sum(output.astype(np.float64) for output in made) / len(models)
