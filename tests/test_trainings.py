"""Random networks, losses and optimizers, trained beside PyTorch from the same weights."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn.losses import LOSSES
from fastnn.optim import OPTIMIZERS

ACTIVATIONS = [
    "Tanh",
    "Sigmoid",
    "GELU",
    "SiLU",
    "Softplus",
    "Mish",
    "ELU",
    "Softsign",
]  # smooth: no kink to fall on both sides of
TARGETS = {
    "cross_entropy": lambda rng, shape: rng.integers(0, shape[1], shape[0]),
    "mse": lambda rng, shape: rng.standard_normal(shape),
    "huber": lambda rng, shape: 3 * rng.standard_normal(shape),
}
OPTIONS = {  # besides a rate: the switches of the rows that have some
    "SGD": [{"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {"momentum": 0.5, "dampening": 0.2}],
    "RMSprop": [{"centered": True, "momentum": 0.5}],
    "Adam": [{"amsgrad": True, "weight_decay": 0.01}],
    "AdamW": [{"amsgrad": True}],
    "NAdam": [{"decoupled_weight_decay": True, "weight_decay": 0.01}],
    "RAdam": [{"decoupled_weight_decay": True, "weight_decay": 0.01}],
}
OURS_ALONE = {"Lion"}  # PyTorch has no such optimizer
# The sum of clamped errors may be 0 but for rounding: two programs do not agree on the sign of such a gradient.
BY_SIGN = {"Rprop"}


def drawn(number):
    """Return the generator, sizes, activation, loss, optimizer and its options of one training; every row takes its turn."""
    rng = np.random.default_rng(number)
    names = [cls.__name__ for cls in OPTIMIZERS.values() if cls.__name__ not in OURS_ALONE]
    name, losses = names[number % len(names)], [loss for loss in LOSSES if loss in TARGETS]
    choices = [{}, *OPTIONS.get(name, [])]
    options = {"lr": float(10 ** rng.uniform(-3, -2))} | choices[number // len(names) % len(choices)]
    sizes = [int(n) for n in rng.integers(2, 24, rng.integers(2, 5))]
    loss = "mse" if name in BY_SIGN else losses[number % len(losses)]
    return rng, sizes, ACTIVATIONS[number % len(ACTIVATIONS)], loss, name, options


def torch_twin(torch, model):
    """Return PyTorch's network of the same layers and weights."""
    layers = [
        torch.nn.Linear(layer.in_features, layer.out_features) if isinstance(layer, fnn.Linear)
        else getattr(torch.nn, type(layer).__name__)()
        for layer in model
    ]  # fmt: skip
    twin = torch.nn.Sequential(*layers)
    twin.load_state_dict({name: torch.from_numpy(value) for name, value in model.state_dict().items()})
    return twin


@pytest.mark.parametrize("number", range(40))
def test_fifty_steps_of_a_random_training_are_those_of_torch(number):
    torch = pytest.importorskip("torch")
    rng, sizes, activation, loss, name, options = drawn(number)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which its optimizers keep numbers of their own
    try:
        model = fnn.MLP(sizes, activation.lower(), seed=number, dtype=np.float64)
        twin = torch_twin(torch, model)
        run = fnn.Trainer(model, loss, getattr(fnn, name)(**options), seed=0)
        theirs, criterion = getattr(torch.optim, name)(twin.parameters(), **options), torch_loss(torch, loss)
        for _ in range(50):
            # An odd number of rows: huber's clamped gradients, +-1 each, never cancel to a 0 or a rounding, whose sign Rprop would take.
            x = rng.standard_normal((2 * int(rng.integers(10)) + 1, sizes[0]))
            y = TARGETS[loss](rng, (len(x), sizes[-1]))
            theirs.zero_grad()
            value = criterion(twin(torch.from_numpy(x)), torch.from_numpy(y))
            value.backward()
            theirs.step()
            np.testing.assert_allclose(run.step(x, y), value.item(), rtol=1e-8)
    finally:
        torch.set_default_dtype(before)
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(value, twin.state_dict()[key].numpy(), rtol=1e-8, atol=1e-10)


def torch_loss(torch, loss):
    return getattr(torch.nn, f"{LOSSES[loss].__name__}Loss")()


def test_every_optimizer_loss_and_activation_takes_its_turn():
    turns = [drawn(number) for number in range(40)]
    for of, known in ((4, {cls.__name__ for cls in OPTIMIZERS.values()} - OURS_ALONE), (3, set(LOSSES) & set(TARGETS))):
        names = [turn[of] for turn in turns]
        assert set(names) == known
        assert min(names.count(name) for name in known) >= 2
    assert {activation for _, _, activation, *_ in turns} == set(ACTIVATIONS)
