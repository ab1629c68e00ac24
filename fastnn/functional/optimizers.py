"""Steps of optimizers, in place."""

from __future__ import annotations

from collections import abc

import numpy as np
from numpy import typing as npt

from fastnn import _fastnn_core as _core
from fastnn.functional.signatures import ARRAY, OUT, REQUIRED, describe, numbers

__all__ = [
    "adadelta_update",
    "adagrad_update",
    "adam_update",
    "adamax_update",
    "adamw_update",
    "lion_update",
    "nadam_update",
    "radam_update",
    "rmsprop_update",
    "rprop_update",
    "sgd_update",
]


def _update(optimizer: str, title: str, formula: str) -> abc.Callable[..., None]:
    """Make the function of a row of the table of optimizers."""
    row = _core.OPTIMIZERS[optimizer]
    info, name = row.info, row.info.function

    def update(param: np.ndarray, grad: npt.ArrayLike, *slots: np.ndarray, **options: float) -> None:
        _core.update(name, row, param, grad, slots, options)

    given = {"param": ("np.ndarray", REQUIRED), "grad": (ARRAY, REQUIRED)}
    given |= {slot: (OUT, None) if needs else ("np.ndarray", REQUIRED) for slot, needs in info.slots.items()}
    options = {"step": ("int", REQUIRED)} if info.counts else {"step": ("int | None", None)} if info.counts_if else {}
    options |= numbers(info.params) | {"lr": ("float", REQUIRED)}
    slots = "".join(
        f"    {slot} : ndarray, shape and dtype of ``param``{', optional' if needs else ''}\n"
        f"        Updated; starts as zeros{f'; needed with {needs}' if needs else ''}.\n"
        for slot, needs in info.slots.items()
    )
    kinds = {bool: "bool", tuple: "pair of float", float: "float"}
    parameters = "".join(
        f"    {key} : {kinds[type(value)]}{'' if key == 'lr' else f', default {value}'}\n"
        for key, value in info.params.items()
    )
    step = "    step : int\n        Counts from 1.\n" if info.counts else ""
    if info.counts_if:
        step = f"    step : int, optional\n        Counts from 1; needed where {info.counts_if} is not 0.\n"
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
sgd_update = _update("sgd", "stochastic gradient descent, as ``torch.optim.SGD``", "g = grad + weight_decay param; velocity = momentum velocity + (1 - dampening) g, or g in step 1; param -= lr velocity, or lr (g + momentum velocity) with nesterov.")
adagrad_update = _update("adagrad", "Adagrad (Duchi, Hazan and Singer, 2011), as ``torch.optim.Adagrad``", "g = grad + weight_decay param; sum += g^2, from initial_accumulator_value on; param -= lr / (1 + (step - 1) lr_decay) g / (sqrt(sum) + eps).")
adadelta_update = _update("adadelta", "Adadelta (Zeiler, 2012), as ``torch.optim.Adadelta``", "g = grad + weight_decay param; v = rho v + (1 - rho) g^2; delta = sqrt(u + eps) / sqrt(v + eps) g; u = rho u + (1 - rho) delta^2; param -= lr delta. v is square_avg, u acc_delta.")
rmsprop_update = _update("rmsprop", "RMSprop (Hinton, 2012), as ``torch.optim.RMSprop``", "g = grad + weight_decay param; v = alpha v + (1 - alpha) g^2; d = g / (sqrt(v) + eps), where centered takes v - m^2, at least 0, for v, with m = alpha m + (1 - alpha) g; param -= lr d, or with momentum lr b, where b = momentum b + d. v is square_avg, m grad_avg, b momentum_buffer.")
adam_update = _update("adam", "Adam (Kingma and Ba, 2015), as ``torch.optim.Adam``", "g = grad + weight_decay param; m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2; param -= lr (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps). With amsgrad (Reddi, Kale and Kumar, 2018) the largest v so far takes the place of v. With eps_hat the denominator is (sqrt(v) + eps) / sqrt(1 - beta2^step), as in scikit-learn and Keras: eps is the paper's epsilon hat.")
adamw_update = _update("adamw", "AdamW (Loshchilov and Hutter, 2019), as ``torch.optim.AdamW``", "param -= lr weight_decay param; then as ``adam_update`` without weight decay.")
adamax_update = _update("adamax", "Adamax (Kingma and Ba, 2015, section 7.1), as ``torch.optim.Adamax``", "g = grad + weight_decay param; m = beta1 m + (1 - beta1) g; u = max(beta2 u, |g| + eps); param -= lr / (1 - beta1^step) m / u. m is exp_avg, u exp_inf.")
nadam_update = _update("nadam", "NAdam (Dozat, 2016), as ``torch.optim.NAdam``", "g, m and v as in ``adam_update``; param -= lr ((1 - mu_t) / (1 - mu_1 ... mu_t) g + mu_t+1 / (1 - mu_1 ... mu_t+1) m) / (sqrt(v / (1 - beta2^step)) + eps), where mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2) and t is step. With decoupled_weight_decay, param -= lr weight_decay param instead of the term in g.")
radam_update = _update("radam", "RAdam (Liu et al., 2020), as ``torch.optim.RAdam``", "g, m and v as in ``adam_update``; rho_inf = 2 / (1 - beta2) - 1; rho = rho_inf - 2 step beta2^step / (1 - beta2^step); param -= lr / (1 - beta1^step) m, times r sqrt(1 - beta2^step) / (sqrt(v) + eps) where rho > 5, with r^2 = (rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho). With decoupled_weight_decay, param -= lr weight_decay param instead of the term in g.")
lion_update = _update("lion", "Lion (Chen et al., 2023), with the defaults of its authors", "param -= lr weight_decay param; param -= lr sign(beta1 m + (1 - beta1) grad); m = beta2 m + (1 - beta2) grad. m is exp_avg.")
rprop_update = _update("rprop", "Rprop (Riedmiller and Braun, 1993), as ``torch.optim.Rprop``", "step_size, lr in step 1, is multiplied by etas[1] where grad has the sign of prev and by etas[0] where it has the other, and kept within step_sizes; where the sign has changed, g = 0, elsewhere g = grad; param -= sign(g) step_size; prev = g.")
# fmt: on
