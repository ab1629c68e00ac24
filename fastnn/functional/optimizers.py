"""Steps of optimizers, in place."""

from __future__ import annotations

from collections import abc

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core
from fastnn.functional.signatures import ARRAY, OUT, REQUIRED, describe, numbers

__all__ = ["adam_update", "adamw_update", "sgd_update"]


def _update(optimizer: str, title: str, formula: str) -> abc.Callable[..., None]:
    """Make the function of a row of the table of optimizers."""
    row = _core.OPTIMIZERS[optimizer]
    info, name = row.info, row.info.function

    def update(param: np.ndarray, grad: npt.ArrayLike, *slots: np.ndarray, **options: float) -> None:
        _core.update(name, row, param, grad, slots, options)

    given = {"param": ("np.ndarray", REQUIRED), "grad": (ARRAY, REQUIRED)}
    given |= {slot: (OUT, None) if needs else ("np.ndarray", REQUIRED) for slot, needs in info.slots.items()}
    options = {"step": ("int", REQUIRED)} if info.counts else {}
    options |= numbers(info.params) | {"lr": ("float", REQUIRED)}
    slots = "".join(
        f"    {slot} : ndarray, shape and dtype of ``param``{', optional' if needs else ''}\n"
        f"        Updated; starts as zeros{f'; needed where {needs} is not 0' if needs else ''}.\n"
        for slot, needs in info.slots.items()
    )
    kinds = {bool: "bool", tuple: "pair of float", float: "float"}
    parameters = "".join(
        f"    {key} : {kinds[type(value)]}{'' if key == 'lr' else f', default {value}'}\n"
        for key, value in info.params.items()
    )
    step = "    step : int\n        Counts from 1.\n" if info.counts else ""
    doc = f"""One step of {title}; in place.

    {formula}

    Parameters
    ----------
    param : ndarray of float32 or float64
        Updated.
    grad : array_like, shape of ``param``
{slots}{step}{parameters}
    Raises
    ------
    ValueError
        For shapes that differ, hyper-parameters that are not accepted, and arrays that share memory.
    TypeError
        For arrays that cannot be updated in place.
    """
    describe(update, name, given, options, "None", doc)
    return update


# fmt: off
sgd_update = _update("sgd", "stochastic gradient descent, as ``torch.optim.SGD``", "g = grad + weight_decay param; velocity = momentum velocity + g; param -= lr velocity, or lr (g + momentum velocity) with nesterov.")
adam_update = _update("adam", "Adam (Kingma and Ba, 2015), as ``torch.optim.Adam``", "g = grad + weight_decay param; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; param -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps).")
adamw_update = _update("adamw", "AdamW (Loshchilov and Hutter, 2019), as ``torch.optim.AdamW``", "param -= lr weight_decay param; then as ``adam_update`` without weight decay.")
# fmt: on
