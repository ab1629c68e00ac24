"""Random networks, losses and optimizers, trained beside PyTorch from the same weights."""

import numpy as np
import pytest
from support import parts, torch_twin

import fastnn as fnn
from fastnn.losses import LOSSES
from fastnn.optim import OPTIMIZERS

# Smooth: no kink to fall on both sides of.
ACTIVATIONS = [fnn.Tanh, fnn.Sigmoid, fnn.GELU, fnn.SiLU, fnn.Softplus, fnn.Mish, fnn.ELU, fnn.Softsign]
NORMS = [None, fnn.LayerNorm, fnn.BatchNorm1d, fnn.RMSNorm]


def numbers(rng, *shape):
    return 2 * rng.standard_normal(shape)


def shares(rng, *shape):
    return rng.dirichlet(np.ones(shape[1]), shape[0])


def labels(rng, rows, classes):
    return rng.integers(0, classes, rows)


# The losses that PyTorch has: targets, the last layer where one is needed, and options that are not the defaults.
TRAINED = {
    "cross_entropy": (labels, None, {"label_smoothing": 0.1}),
    "mse": (numbers, None, {}),
    "huber": (numbers, None, {"delta": 0.5}),
    "l1": (numbers, None, {}),
    "smooth_l1": (numbers, None, {"beta": 0.5}),
    "binary_cross_entropy": (shares, fnn.Sigmoid, {}),
    "binary_cross_entropy_with_logits": (shares, None, {}),
    "soft_margin": (lambda rng, *shape: rng.choice([-1.0, 1.0], shape), None, {}),
    "poisson_nll": (lambda rng, *shape: rng.poisson(2.0, shape).astype(float), None, {"full": True}),
    "kl_div": (shares, fnn.LogSoftmax, {}),
    "gaussian_nll": (numbers, None, {"full": True, "eps": 0.01}),
    "nll": (labels, fnn.LogSoftmax, {}),
    "multi_margin": (labels, None, {"p": 2, "margin": 0.5}),
}
OURS_ALONE = {"half_mse", "log_cosh", "focal_with_logits", "hinge", "squared_hinge", "quantile", "multiclass_hinge"} | {
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",  # Keras'; the bits of two of those above
}
OPTIONS = {  # besides a rate: the switches of the rows that have some
    "SGD": [{"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, {"momentum": 0.5, "dampening": 0.2}],
    "RMSprop": [{"centered": True, "momentum": 0.5}],
    "Adam": [{"amsgrad": True, "weight_decay": 0.01}],
    "AdamW": [{"amsgrad": True}],
    "NAdam": [{"decoupled_weight_decay": True, "weight_decay": 0.01}],
    "RAdam": [{"decoupled_weight_decay": True, "weight_decay": 0.01}],
}
PEERED = [cls.__name__ for cls in OPTIMIZERS.values() if cls is not fnn.Lion]  # PyTorch has no Lion
# The two programs differ in the last digit of every sum. 50 steps keep that small unless a step divides by a gradient that is 0 but
# for rounding, whose digits and sign are noise: Adam's kind then goes a step of its own in each program, Rprop in any case. Hence
# no bias before BatchNorm1d, which takes its effect away; at least four features in a norm and an odd number of rows, nine or more,
# so that errors clamped to +-1 do not cancel; and Rprop, which takes the sign of every sum, with losses that do not clamp.
CLAMPED = {"huber", "l1", "smooth_l1", "multi_margin"}


def network(rng, activation, norm, last):
    """Return a network of one to three blocks of Linear, norm and activation, some of them followed by a residual one."""
    wide, layers = int(rng.integers(2, 12)), []

    def block(wide, narrow):
        normed = [] if norm is None else [norm(narrow)]
        return [fnn.Linear(wide, narrow, bias=norm is not fnn.BatchNorm1d, rng=rng), *normed, activation()]

    for narrow in rng.integers(4, 16, rng.integers(1, 4)).tolist():
        layers += block(wide, narrow)
        layers += [fnn.Residual(*block(narrow, narrow))] if rng.random() < 0.4 else []
        wide = narrow
    layers.append(fnn.Linear(wide, 2 * int(rng.integers(1, 6)), rng=rng))
    return fnn.Sequential(*layers, *([] if last is None else [last()])).astype(np.float64)


def drawn(number):
    """Return the generator, network, loss and optimizer of one training; every row takes its turn."""
    rng = np.random.default_rng(number)
    name, loss = PEERED[number % len(PEERED)], list(TRAINED)[number % len(TRAINED)]
    if name == "Rprop" and loss in CLAMPED:
        loss = "mse"
    _, last, options = TRAINED[loss]
    norm = NORMS[number // len(PEERED) % len(NORMS)]
    model = network(rng, ACTIVATIONS[number % len(ACTIVATIONS)], norm, last)
    switches = [{}, *OPTIONS.get(name, [])]
    rate = {"lr": float(10 ** rng.uniform(-3, -2))}
    optimizer = OPTIMIZERS[name.lower()](**rate, **switches[number // len(PEERED) % len(switches)])
    return rng, model, LOSSES[loss](**(options if number // len(TRAINED) % 2 else {})), optimizer


def torch_loss(torch, loss):
    """Return PyTorch's loss of the same name and options."""
    names = [name for name in loss._row.info.params if getattr(loss, name) is not None]
    theirs = getattr(torch.nn, f"{type(loss).__name__}Loss")(**{name: getattr(loss, name) for name in names})
    if not loss._row.info.pair:
        return theirs
    return lambda output, target: theirs(output.chunk(2, 1)[0], target, output.chunk(2, 1)[1].exp())


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")  # of KLDivLoss, about the mean it has
@pytest.mark.parametrize("number", range(40))
def test_fifty_steps_of_a_random_training_are_those_of_torch(number):
    torch = pytest.importorskip("torch")
    rng, model, loss, optimizer = drawn(number)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which its optimizers keep numbers of their own
    try:
        twin, criterion = torch_twin(torch, model), torch_loss(torch, loss)
        options = {name: getattr(optimizer, name) for name in type(optimizer)._row.info.params if name != "eps_hat"}
        theirs = getattr(torch.optim, type(optimizer).__name__)(twin.parameters(), **options)
        run = fnn.Trainer(model, loss, optimizer, seed=0)
        targets = TRAINED[loss._row.info.name][0]
        outputs = [part for part in model if isinstance(part, fnn.Linear)][-1].out_features
        for _ in range(50):
            x = rng.standard_normal((2 * int(rng.integers(4, 10)) + 1, model[0].in_features))
            y = targets(rng, len(x), outputs // 2 if loss._row.info.pair else outputs)
            theirs.zero_grad()
            value = criterion(twin(torch.from_numpy(x)), torch.from_numpy(y))
            value.backward()
            theirs.step()
            np.testing.assert_allclose(run.step(x, y), value.item(), rtol=1e-8)
    finally:
        torch.set_default_dtype(before)
    for key, value in model.state_dict().items():
        np.testing.assert_allclose(value, twin.state_dict()[key].numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")  # of KLDivLoss, about the mean it has
@pytest.mark.parametrize("optimizer", [fnn.SGD(lr=0.01), fnn.Adam(lr=0.001)], ids=["sgd", "adam"])
@pytest.mark.parametrize("number", range(10))
def test_fifty_steps_in_float32_are_those_of_torch(number, optimizer):
    torch = pytest.importorskip("torch")
    rng, model, loss, _ = drawn(number)
    model = model.astype(np.float32)
    twin, criterion = torch_twin(torch, model), torch_loss(torch, loss)
    theirs = getattr(torch.optim, type(optimizer).__name__)(twin.parameters(), lr=optimizer.lr)
    run = fnn.Trainer(model, loss, optimizer, seed=0)
    targets = TRAINED[loss._row.info.name][0]
    outputs = [part for part in model if isinstance(part, fnn.Linear)][-1].out_features
    for _ in range(50):
        x = rng.standard_normal((2 * int(rng.integers(4, 10)) + 1, model[0].in_features)).astype(np.float32)
        y = targets(rng, len(x), outputs // 2 if loss._row.info.pair else outputs)
        y = y if y.dtype.kind == "i" else y.astype(np.float32)
        theirs.zero_grad()
        value = criterion(twin(torch.from_numpy(x)), torch.from_numpy(y))
        value.backward()
        theirs.step()
        np.testing.assert_allclose(run.step(x, y), value.item(), rtol=1e-5, atol=1e-6)


def test_every_optimizer_loss_and_layer_takes_its_turn():
    turns = [drawn(number)[1:] for number in range(40)]
    assert set(TRAINED) | OURS_ALONE == set(LOSSES)
    for of, known in ((2, set(OPTIMIZERS.values()) - {fnn.Lion}), (1, {LOSSES[name] for name in TRAINED})):
        kinds = [type(turn[of]) for turn in turns]
        assert set(kinds) == known
        assert min(kinds.count(kind) for kind in known) >= 2
    layers = [type(part) for model, *_ in turns for part in parts(model)]
    assert min(layers.count(kind) for kind in (*ACTIVATIONS, *NORMS[1:], fnn.Residual)) >= 2
    assert any(loss != type(loss)() for _, loss, _ in turns)
