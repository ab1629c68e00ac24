"""Initialisers: distributions, PyTorch's and scikit-learn's bounds, gains, and how init= takes them."""

import functools

import numpy as np
import pytest
from support import refused

import fastnn as fnn
from fastnn import functional as F
from fastnn import init
from fastnn.random import Philox, normal_cdf

SHAPE = (300, 200)  # fans 200 and 300
UNIFORM = {"uniform", "xavier_uniform", "kaiming_uniform", "lecun_uniform", "torch", "sklearn"}
STD = {  # of a weight of this shape
    "zeros": 0, "ones": 0, "constant": 0, "normal": 1, "uniform": 12**-0.5, "trunc_normal": 0.8796256610342398,
    "xavier_normal": (2 / 500) ** 0.5, "xavier_uniform": (2 / 500) ** 0.5, "kaiming_normal": (2 / 200) ** 0.5,
    "kaiming_uniform": (2 / 200) ** 0.5, "lecun_normal": 200**-0.5, "lecun_uniform": 200**-0.5, "orthogonal": 300**-0.5,
    "sparse": 0.01 * 0.9**0.5, "identity": (200 / 300 / 200 * (1 - 1 / 300)) ** 0.5, "torch": (3 * 200) ** -0.5, "sklearn": (2 / 500) ** 0.5,
}  # fmt: skip


def drawn(name, seed=0, shape=SHAPE, **options):
    return init.INITIALISERS[name](shape, Philox(seed), **options)


@pytest.mark.parametrize("name", init.INITIALISERS)
def test_each_has_its_standard_deviation_and_a_seed_gives_it_again(name):
    w = drawn(name)
    assert w.shape == SHAPE
    assert w.dtype == np.float64
    np.testing.assert_allclose(w.std(), STD[name], rtol=0.02, atol=1e-12)
    np.testing.assert_array_equal(w, drawn(name))
    if STD[name] and name != "identity":
        assert (w != drawn(name, seed=1)).mean() > 0.8
    if name in UNIFORM:
        bound = w.max()
        middle, half = (0.5, 0.5) if name == "uniform" else (0, 3**0.5 * STD[name])
        assert middle + 0.999 * half < bound <= middle + half
        np.testing.assert_allclose(np.histogram(w, 10)[0], w.size / 10, rtol=0.06)


@pytest.mark.parametrize("name", init.INITIALISERS)
def test_a_numpy_generator_serves_as_well(name):
    w = init.INITIALISERS[name](SHAPE, np.random.default_rng(0))
    np.testing.assert_allclose(w.std(), STD[name], rtol=0.02, atol=1e-12)


def test_constants():
    np.testing.assert_array_equal(drawn("constant", shape=(2,)), [0.1, 0.1])
    np.testing.assert_array_equal(drawn("constant", shape=(2,), val=3), [3.0, 3.0])
    np.testing.assert_array_equal(drawn("identity", shape=(2, 3)), [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(fnn.Linear(3, 3, init="identity")(np.eye(3)), np.eye(3))
    assert not fnn.Linear(3, 3, init="zeros")(np.eye(3)).any()


def test_a_truncated_normal_is_the_normal_within_its_values():
    w = drawn("trunc_normal", mean=1, std=2, a=-1, b=2)
    assert -1 <= w.min() < -0.99
    assert 1.99 < w.max() <= 2
    edges = np.linspace(-1, 2, 7)
    share = np.diff([normal_cdf((e - 1) / 2) for e in edges])
    np.testing.assert_allclose(np.histogram(w, edges)[0] / w.size, share / share.sum(), atol=0.01)
    far = drawn("trunc_normal", shape=(50,), a=30, b=31)
    assert ((far >= 30) & (far <= 31)).all()


def test_the_normal_distribution_function():
    z, p = [-np.inf, -8, -1, 0, 0.5, 3, np.inf], [0, 6.220960574271785e-16, 0.15865525393145705, 0.5, 0.6914624612740131, 0.9986501019683699, 1]  # fmt: skip
    np.testing.assert_allclose([normal_cdf(x) for x in z], p, rtol=1e-14, atol=2e-17)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (100, 40), (40, 100), (33, 65), (70, 70), (0, 3), (3, 0)])
def test_orthogonal_rows_or_columns_follow_from_the_factorisation_of_a_normal_matrix(shape, isa):
    w = drawn("orthogonal", shape=shape)
    rows = w if shape[0] < shape[1] else w.T
    np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-14)
    normal = Philox(0).normal(0, 1, shape)
    q, r = np.linalg.qr(normal if shape[0] >= shape[1] else normal.T)
    q = q * np.sign(np.diag(r))  # as torch.nn.init.orthogonal_ does
    np.testing.assert_allclose(w, q if shape[0] >= shape[1] else q.T, atol=1e-12)
    np.testing.assert_array_equal(drawn("orthogonal", shape=shape, gain=2), 2 * w)


def test_orthogonal_has_the_same_bits_on_every_isa_with_fma():
    before, seen = fnn.isa(), set()
    for name in [name for name in fnn.available_isas() if name != "portable"]:
        fnn._fastnn_core._use_isa(name)
        seen.add(drawn("orthogonal").tobytes())
    fnn._fastnn_core._use_isa(before)
    assert len(seen) <= 1


@pytest.mark.parametrize(("sparsity", "zeros"), [(0.1, 2), (0, 0), (1, 11), (0.5, 6)])
def test_sparse_columns_have_so_many_zeros_in_random_rows(sparsity, zeros):
    w = drawn("sparse", shape=(11, 500), sparsity=sparsity, std=2)
    np.testing.assert_array_equal((w == 0).sum(0), zeros)
    if 0 < zeros < 11:
        np.testing.assert_allclose((w == 0).mean(1), zeros / 11, atol=0.09)
        assert abs(w[w != 0].std() - 2) < 0.1


def test_gains_are_the_tables_and_pytorchs():
    torch = pytest.importorskip("torch")
    for name, info in F.activations().items():
        assert init.calculate_gain(name) == info.gain
    for name, theirs in (("identity", "linear"), ("relu", "relu"), ("leaky_relu", "leaky_relu"), ("sigmoid", "sigmoid"),
                         ("tanh", "tanh"), ("selu", "selu")):  # fmt: skip
        np.testing.assert_allclose(init.calculate_gain(name), torch.nn.init.calculate_gain(theirs), rtol=1e-15)
    np.testing.assert_allclose(
        init.calculate_gain("leaky_relu", negative_slope=0.3),
        torch.nn.init.calculate_gain("leaky_relu", 0.3),
        rtol=1e-15,
    )


def test_the_gain_of_leaky_relu_is_that_of_its_row():
    assert init.calculate_gain("leaky_relu", negative_slope=0.01) == F.activations()["leaky_relu"].gain


PEERS = {  # the function of torch.nn.init, with options of ours and the same options there; scikit-learn's has a test of its own
    "zeros": [("zeros_", {}, {})],
    "ones": [("ones_", {}, {})],
    "constant": [("constant_", {"val": 3}, {"val": 3})],
    "normal": [("normal_", {"mean": 3, "std": 2}, {"mean": 3, "std": 2})],
    "uniform": [("uniform_", {"a": -1, "b": 3}, {"a": -1, "b": 3})],
    "trunc_normal": [("trunc_normal_", {"std": 2}, {"std": 2})],
    "xavier_normal": [("xavier_normal_", {"gain": 3}, {"gain": 3})],
    "xavier_uniform": [("xavier_uniform_", {}, {})],
    "kaiming_normal": [("kaiming_normal_", {}, {}), ("kaiming_normal_", {"gain": 5 / 3}, {"nonlinearity": "tanh"})],
    "kaiming_uniform": [("kaiming_uniform_", {"mode": "fan_out"}, {"mode": "fan_out"})],
    "lecun_normal": [("kaiming_normal_", {}, {"nonlinearity": "linear"})],
    "lecun_uniform": [("kaiming_uniform_", {}, {"nonlinearity": "linear"})],
    "orthogonal": [("orthogonal_", {"gain": 2}, {"gain": 2})],
    "sparse": [("sparse_", {"sparsity": 0.3, "std": 0.1}, {"sparsity": 0.3, "std": 0.1})],
    "identity": [("eye_", {}, {})],
    "torch": [("kaiming_uniform_", {}, {"a": 5**0.5})],  # as torch.nn.Linear calls it
    "sklearn": [],
}


@pytest.mark.parametrize("name", PEERS)
def test_distributions_are_pytorchs(name):
    torch = pytest.importorskip("torch")
    for peer, options, theirs in PEERS[name]:
        torch.manual_seed(0)
        want = getattr(torch.nn.init, peer)(torch.empty(SHAPE, dtype=torch.float64), **theirs).numpy().ravel()
        quantiles = np.linspace(0.05, 0.95, 400)
        got = np.quantile(drawn(name, **options), quantiles)
        np.testing.assert_allclose(got, np.quantile(want, quantiles), atol=0.05 * want.std())


def test_sklearn_is_scikit_learns():
    network = pytest.importorskip("sklearn.neural_network")
    y = np.arange(60) % 3
    for activation, ours in (("relu", "relu"), ("logistic", "sigmoid")):
        theirs = network.MLPClassifier(
            (150,), activation=activation, max_iter=1, random_state=0, learning_rate_init=1e-12
        )
        with pytest.warns(match="Maximum iterations"):
            theirs.fit(np.zeros((60, 50)), y)
        model = fnn.MLP([50, 150, 3], ours, init="sklearn", seed=0)
        for layer, w, b in zip((model[0], model[2]), theirs.coefs_, theirs.intercepts_, strict=True):
            np.testing.assert_allclose(np.abs(layer.weight).max(), np.abs(w).max(), rtol=0.02)
            assert 0.3 < np.abs(layer.bias).max() / np.abs(b).max() < 3
            assert np.abs(layer.bias).max() <= np.sqrt((2 if ours == "sigmoid" else 6) / sum(w.shape))


@pytest.mark.parametrize("make", [fnn.Linear, fnn.Maxout])
@pytest.mark.parametrize("name", init.INITIALISERS)
def test_layers_take_names(make, name):
    layer = make(6, 5, init=name, rng=3)
    rng = Philox(3)
    np.testing.assert_array_equal(layer.weight, init.INITIALISERS[name](layer.weight.shape, rng).astype(np.float32))
    if name not in ("torch", "sklearn"):
        assert not layer.bias.any()
        return
    rows = len(layer.bias)
    bound = {"torch": 6**-0.5, "sklearn": (6 / (6 + rows)) ** 0.5}[name]
    assert 0.4 * bound < np.abs(layer.bias).max() <= bound
    np.testing.assert_array_equal(make(6, 5, init=(name, name), rng=3).bias, layer.bias)


def test_init_takes_functions_partials_and_a_pair():
    half = functools.partial(init.constant, val=0.5)
    layer = fnn.Linear(3, 2, init=(half, "constant"))
    assert (layer.weight == 0.5).all()
    assert (layer.bias == np.float32(0.1)).all()
    layer = fnn.Linear(3, 2, init=[lambda shape, rng: np.arange(6).reshape(shape), lambda shape, rng: [7, 8]])
    np.testing.assert_array_equal(layer.weight, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(layer.bias, [7, 8])
    layer = fnn.Linear(3, 2, init=(None, "zeros"), rng=0)
    np.testing.assert_array_equal(layer.weight, fnn.Linear(3, 2, rng=0).weight)
    assert not layer.bias.any()
    assert fnn.Linear(3, 2, init=("ones", None)).bias.all()
    assert fnn.Linear(3, 2, init=functools.partial(init.sklearn, activation="sigmoid")).bias.all()
    assert fnn.Linear(3, 2, False, init=("ones", "ones")).bias is None
    biased = fnn.Linear(400, 300, init=("zeros", "kaiming_normal"), rng=0)  # with the fans of the weight
    np.testing.assert_allclose(biased.bias.std(), (2 / 400) ** 0.5, rtol=0.1)


@pytest.mark.parametrize("name", ["xavier_normal", "kaiming_uniform", "orthogonal"])
def test_in_an_mlp_the_gain_follows_the_activation(name):
    for activation, params in (("relu", {}), ("tanh", {}), ("leaky_relu", {"negative_slope": 0.5}), ("gelu", {})):
        model, rng = fnn.MLP([8, 7, 6], activation, init=name, seed=1, **params), Philox(1)
        function = init.INITIALISERS[name]
        want = function((7, 8), rng, gain=init.calculate_gain(activation, **params)), function((6, 7), rng, gain=1.0)
        for layer, weight in zip((model[0], model[2]), want, strict=True):
            np.testing.assert_array_equal(layer.weight, weight.astype(np.float32))
    settled = fnn.MLP([8, 7, 6], init=(functools.partial(init.INITIALISERS[name], gain=3.0), "constant"), seed=1)
    np.testing.assert_array_equal(
        settled[0].weight, init.INITIALISERS[name]((7, 8), Philox(1), gain=3.0).astype(np.float32)
    )
    assert (settled[2].bias == np.float32(0.1)).all()


def test_the_default_is_pytorchs():
    for default, named in ((fnn.Linear(4, 3, rng=0), fnn.Linear(4, 3, init="torch", rng=0)),
                           (fnn.MLP([4, 3], seed=0)[0], fnn.MLP([4, 3], init="torch", seed=0)[0])):  # fmt: skip
        np.testing.assert_array_equal(default.weight, named.weight)
        np.testing.assert_array_equal(default.bias, named.bias)


NAMES = ", ".join(init.INITIALISERS)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fnn.Linear(2, 2, init="xavier"), ValueError, f"Linear: init is 'xavier' but one of {NAMES} was expected"),
        (lambda: fnn.MLP([2, 2], init="he"), ValueError, f"MLP: init is 'he' but one of {NAMES} was expected"),
        (lambda: fnn.Maxout(2, 2, init=3), TypeError, "Maxout: init is 3 but a name or a function (shape, rng) -> array was expected"),
        (lambda: fnn.Linear(2, 2, init=("ones",) * 3), ValueError,
         "Linear: init has 3 initialisers but one, or a pair (weight, bias), was expected"),
        (lambda: fnn.Linear(2, 2, init=()), ValueError,
         "Linear: init has 0 initialisers but one, or a pair (weight, bias), was expected"),
        (lambda: fnn.Linear(2, 2, init=lambda shape, rng: np.ones(2)), ValueError,
         "Linear: init's weight has shape (2,) but (2, 2) was expected"),
        (lambda: fnn.Linear(2, 2, init=("ones", lambda shape, rng: np.ones((2, 2)))), ValueError,
         "Linear: init's bias has shape (2, 2) but (2,) was expected"),
        (lambda: fnn.Linear(2, 2, init=("ones", "orthogonal")), ValueError,
         "orthogonal: shape is (2,) but (out_features, in_features) was expected"),
        (lambda: drawn("sparse", sparsity=1.5), ValueError, "sparse: sparsity is 1.5 but a share in [0, 1] was expected"),
        (lambda: drawn("kaiming_normal", mode="fan"), ValueError, "kaiming_normal: mode is 'fan' but 'fan_in' or 'fan_out' was expected"),
        (lambda: fnn.Linear(2, 2, init=lambda shape, rng: np.full(shape, np.nan)), ValueError,
         "Linear: init's weight is nan at row 0, column 0; finite numbers were expected"),
        (lambda: drawn("constant", val="x"), TypeError, "constant: val is 'x' but a number was expected"),
        (lambda: drawn("constant", val=np.inf), ValueError, "constant: val is inf but a finite number was expected"),
        (lambda: drawn("normal", mean=np.nan), ValueError, "normal: mean is nan but a number was expected"),
        (lambda: drawn("normal", std=-1), ValueError, "normal: std is -1 but a finite, non-negative number was expected"),
        (lambda: drawn("uniform", a=None), TypeError, "uniform: a is None but a number was expected"),
        (lambda: drawn("uniform", b=np.inf), ValueError, "uniform: b is inf but a finite number was expected"),
        (lambda: drawn("uniform", b=-1), ValueError, "uniform: a is 0 and b is -1 but a <= b was expected"),
        (lambda: drawn("trunc_normal", mean=np.inf), ValueError, "trunc_normal: mean is inf but a finite number was expected"),
        (lambda: drawn("trunc_normal", std=np.inf), ValueError,
         "trunc_normal: std is inf but a finite, non-negative number was expected"),
        (lambda: drawn("trunc_normal", a="x"), TypeError, "trunc_normal: a is 'x' but a number was expected"),
        (lambda: drawn("trunc_normal", b=np.nan), ValueError, "trunc_normal: b is nan but a number was expected"),
        *[(lambda name=name: drawn(name, gain=-1), ValueError, f"{name}: gain is -1 but a finite, non-negative number was expected")
          for name in ("xavier_normal", "xavier_uniform", "kaiming_normal", "kaiming_uniform")],
        (lambda: drawn("orthogonal", gain="x"), TypeError, "orthogonal: gain is 'x' but a number was expected"),
        (lambda: drawn("sparse", sparsity="x"), TypeError, "sparse: sparsity is 'x' but a number was expected"),
        (lambda: drawn("sparse", std=-1), ValueError, "sparse: std is -1 but a finite, non-negative number was expected"),
        (lambda: init.calculate_gain("rely"), ValueError,
         f"calculate_gain: activation is 'rely' but one of {', '.join(fnn.functional.activations())} was expected"),
        (lambda: init.calculate_gain("relu", slope=1), TypeError, "calculate_gain: unknown parameter 'slope' (relu takes none)"),
        (lambda: init.calculate_gain("leaky_relu", negative_slope="x"), TypeError,
         "calculate_gain: negative_slope is 'x' but a number was expected"),
        (lambda: drawn("trunc_normal", std=0), ValueError,
         "trunc_normal: std is 0, a is -2.0, b is 2.0 but std > 0 and a < b were expected"),
    ],
)  # fmt: skip
def test_what_is_refused(call, error, message):
    refused(call, error, message)
