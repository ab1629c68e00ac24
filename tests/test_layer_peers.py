"""Every layer and its gradients beside PyTorch: its class of that name, or the formula in its operations."""

import numpy as np
import pytest
from layer_cases import every_layer
from support import torch_twin


def piecewise_linear(torch, x, own, inner, layer):
    parts = []
    for i, edges in enumerate(own["edges"]):
        edges = edges[torch.isfinite(edges)]
        shares, last = (x[..., i, None] - edges[:-1]) / edges.diff(), len(edges) - 2
        bins = [shares[..., t].clamp(None if t == 0 else 0, None if t == last else 1) for t in range(last + 1)]
        parts.append(torch.stack(bins + [0 * x[..., i]] * (layer.num_bins - last - 1), -1))
    return torch.stack(parts, -2)


def periodic(torch, x, own, inner, layer):
    phase = 2 * torch.pi * x[..., None] * own["weight"]
    return torch.cat([torch.cos(phase), torch.sin(phase)], -1)


def columns(torch, x, own, inner, layer):
    parts = zip(layer.columns, inner, strict=True)
    return torch.cat([part(x[..., list(c)]).reshape(*x.shape[:-1], -1) for c, part in parts], -1)


def chain(torch, x, own, inner, layer):
    for part in inner:
        x = part(x)
    return x


def ensemble(torch, x, own, inner, layer):
    members = []
    for k in range(layer.k):
        y = x
        for i, part in enumerate(inner):
            factors = [own[f"{i}.{name}"][k] for name in "rsb"] if f"{i}.r" in own else (1, 1, 0)
            y = factors[1] * part(y * factors[0]) + factors[2]
        members.append(y)
    return torch.stack(members).mean(0)


def maxout(torch, x, own, inner, layer):
    return torch.nn.functional.linear(x, own["weight"], own.get("bias")).unflatten(-1, (-1, layer.pieces)).amax(-1)


IN_TORCH = [
    "AlphaDropout",
    "BatchNorm1d",
    "CELU",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GELU",
    "Hardshrink",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]
BY_FORMULA = {  # functions of PyTorch, the input, the layer's arrays, the functions of the layers in it, and the layer
    "Columns": columns, "Ensemble": ensemble, "MLP": chain, "Maxout": maxout, "Periodic": periodic,
    "GELUTanh": lambda torch, x, own, inner, layer: torch.nn.functional.gelu(x, approximate="tanh"),
    "Hardsigmoid": lambda torch, x, *rest: torch.nn.functional.relu6(x + 3) / 6,  # of its own, 1 / 6 is a float32
    "PiecewiseLinear": piecewise_linear, "Residual": lambda torch, x, *rest: x + chain(torch, x, *rest),
    "Scale": lambda torch, x, own, inner, layer: x * own["weight"], "Sequential": chain,
    "Square": lambda torch, x, own, inner, layer: x**2,
    "Standardize": lambda torch, x, own, inner, layer: (x - own["mean"]) / own["scale"],
}  # fmt: skip
PEERS = {*IN_TORCH, *BY_FORMULA}


def run_in_torch(torch, layer, x, arrays, prefix=""):
    """Return what PyTorch makes of a layer at inference."""
    name = type(layer).__name__
    own = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    if name in IN_TORCH:
        return torch.func.functional_call(torch_twin(torch, layer).eval(), own, x.long() if name == "Embedding" else x)

    def part(i):
        return lambda x: run_in_torch(torch, layer.layers[i], x, arrays, f"{prefix}{i}.")

    inner = [part(i) for i in range(len(getattr(layer, "layers", ())))]
    return BY_FORMULA[name](torch, x, own, inner, layer)


@every_layer
def test_a_layer_and_its_gradients_agree_with_torch(make):
    torch = pytest.importorskip("torch")
    layer, rng = make(np.float64), np.random.default_rng(3)
    x = make.draw(rng)
    y, backward = layer.vjp(x, train=False)
    dy = rng.standard_normal(y.shape)
    tensor = torch.tensor(x, requires_grad=True)
    arrays = {name: torch.from_numpy(value) for name, value in layer.state_dict().items()}
    trained = {name: arrays[name].requires_grad_() for name, _ in layer.named_parameters()}
    want = run_in_torch(torch, layer, tensor, arrays)
    inputs = [tensor, *trained.values()]
    gradients = torch.autograd.grad(want, inputs, torch.from_numpy(dy), allow_unused=True)
    tolerance = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(y, want.detach().numpy(), **tolerance)
    for ours, theirs in zip((backward(dy), *(layer.grads[name] for name in trained)), gradients, strict=True):
        np.testing.assert_allclose(ours, 0 if theirs is None else theirs.numpy(), **tolerance)
