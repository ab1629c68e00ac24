"""The lectures' worked examples, with the right values where a slide slips."""

import numpy as np
import pytest

import fastnn as fnn
from fastnn import functional as F

RNG = np.random.default_rng(0)


# ------------------------------------------------------------------------------------------------------------- activations


def test_softmax_and_sigmoid_of_three_scores():
    scores = np.array([3.2, -5.7, 0.6])
    np.testing.assert_allclose(F.softmax(scores), [0.93, 0.00013, 0.069], rtol=0.03)
    np.testing.assert_allclose(F.sigmoid(scores), [0.96, 0.0033, 0.65], rtol=0.02)


def test_tanh_is_a_sigmoid():
    x = np.linspace(-5, 5, 101)
    np.testing.assert_allclose(F.tanh(x), 2 * F.sigmoid(2 * x) - 1, atol=1e-15)


# ------------------------------------------------------------------------------------------------------------------ losses


def test_softmax_loss_of_three_rows_of_scores():
    scores = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
    losses = F.cross_entropy(scores, [0, 1, 2], reduction="none")
    np.testing.assert_allclose(losses, [2.040, 0.079, 6.156], atol=5e-4)
    np.testing.assert_allclose(F.cross_entropy(scores, [0, 1, 2]), 2.759, atol=5e-4)


@pytest.mark.parametrize(("scores", "loss"), [((5, -3, 2), 0.0489), ((5, 10, 10), 5.697), ((5, -20, -20), 2.78e-11)])
def test_softmax_loss_of_sure_scores(scores, loss):
    np.testing.assert_allclose(F.cross_entropy(np.array([scores], float), [0]), loss, rtol=2e-3)


@pytest.mark.parametrize(
    ("a", "summed", "likelihood"),
    [
        ([0.55, 0.02, 0.01, 0.03, 0.01, 0.05, 0.17, 0.01, 0.06, 0.09], 1.0725, 0.5978),
        ([0.55, 0.002, 0.001, 0.003, 0.001, 0.04, 0.37, 0.001, 0.012, 0.02], 1.1410, 0.5978),
    ],
)
def test_binary_cross_entropy_over_classes_against_the_log_likelihood(a, summed, likelihood):
    one_hot = np.eye(10)[0]
    np.testing.assert_allclose(F.binary_cross_entropy(a, one_hot, reduction="sum"), summed, atol=5e-5)
    np.testing.assert_allclose(F.cross_entropy(np.log([a]), [0]) - np.log(np.sum(a)), likelihood, atol=5e-5)


def test_multiclass_hinge_of_the_same_scores():
    scores = [[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]]
    np.testing.assert_allclose(F.multiclass_hinge_loss(scores, [0, 1, 2], reduction="none"), [2.9, 0, 12.9], rtol=1e-6)
    assert F.multiclass_hinge_loss(scores, [0, 1, 2]) == pytest.approx(5.267, abs=4e-4)
    sure = [[5, -3, 2], [5, 10, 10], [5, -20, -20]]
    np.testing.assert_array_equal(F.multiclass_hinge_loss(sure, [0] * 3, reduction="none"), [0, 12, 0])


def test_summed_squared_and_absolute_differences():
    a = RNG.integers(0, 256, (4, 4)).astype(float)
    b = a.copy()
    b[0, 1] += 3
    b[1, 2] -= 4
    b[2, 0] -= 2
    b[3, 3] += 2
    assert F.mse_loss(a, b, reduction="sum") == 33
    assert F.l1_loss(a, b, reduction="sum") == 11


def test_the_optimum_of_squared_loss_is_the_mean_of_absolute_loss_the_median():
    y = np.array([1.0, 2.0, 4.0, 7.0, 100.0])
    for loss, optimum in ((F.mse_loss, y.mean()), (F.l1_loss, np.median(y))):
        tried = np.sort(np.append(np.linspace(0, 100, 501), optimum))
        assert tried[np.argmin([loss(np.full(5, c), y) for c in tried])] == optimum
    _, gradient = F.mse_loss_with_grad(np.full(5, y.mean()), y)
    np.testing.assert_allclose(gradient.sum(), 0, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------------- training


def neuron(w, b, loss, steps=300):
    """Train one sigmoid neuron on x = 1, y = 0 with rate 0.15; return its output after each number of steps."""
    model = fnn.Sequential(fnn.Linear(1, 1, dtype=np.float64), fnn.Sigmoid())
    model.load_state_dict({"0.weight": [[w]], "0.bias": [b]})
    run = fnn.Trainer(model, loss, fnn.SGD(lr=0.15))
    outputs = [model([[1.0]]).item()]
    for _ in range(steps):
        run.step([[1.0]], [[0.0]])
        outputs.append(model([[1.0]]).item())
    return np.array(outputs)


@pytest.mark.parametrize(("w", "b", "first", "last"), [(0.6, 0.9, 0.82, 0.094), (2.0, 2.0, 0.98, 0.203)])
def test_a_sigmoid_neuron_learns_slowly_from_afar_under_squared_error(w, b, first, last):
    outputs = neuron(w, b, "half_mse")
    np.testing.assert_allclose(outputs[[0, -1]], [first, last], atol=5e-3 if first else 5e-4)
    np.testing.assert_allclose(outputs[-1], last, atol=5e-4)
    a = first = 1 / (1 + np.exp(-(w + b)))
    for output in outputs[1:]:
        w, b = w - 0.15 * a * a * (1 - a), b - 0.15 * a * a * (1 - a)
        a = 1 / (1 + np.exp(-(w + b)))
        np.testing.assert_allclose(output, a, rtol=1e-12)
    assert outputs[0] == pytest.approx(first)


@pytest.mark.parametrize(("w", "b"), [(0.6, 0.9), (2.0, 2.0)])
def test_under_cross_entropy_it_learns_the_faster_the_more_it_is_wrong(w, b):
    squared, entropy = neuron(w, b, "half_mse"), neuron(w, b, "binary_cross_entropy")
    assert entropy[-1] < squared[-1] / 3
    z, steps = w + b, np.diff(np.log(entropy / (1 - entropy)))
    np.testing.assert_allclose(steps[0], -2 * 0.15 / (1 + np.exp(-z)), rtol=1e-9)
    assert (np.diff(steps) > 0).all()


def test_the_penalty_prefers_spread_weights():
    for w, penalty in (([1, 0, 0, 0], 1), ([0.25] * 4, 0.25)):
        w = np.array([w], float)
        model = fnn.Sequential(fnn.Linear(4, 1, bias=False, init=lambda shape, rng, w=w: w, dtype=np.float64))
        x = np.ones((1, 4))
        assert model(x) == 1  # the same output
        assert np.square(model[0].weight).sum() == penalty
        fnn.Trainer(model, "mse", fnn.SGD(lr=1.0), l2=0.25).step(x, [[1.0]])  # R = sum w^2, its gradient 2 w
        np.testing.assert_allclose(model[0].weight, w - 0.25 * 2 * w)


def test_the_twenty_lines_of_a_two_layer_net_step_for_step():
    x, y = RNG.standard_normal((64, 1000)), RNG.standard_normal((64, 10))
    w1, w2 = RNG.standard_normal((1000, 100)), RNG.standard_normal((100, 10))
    layers = [
        fnn.Linear(1000, 100, bias=False, dtype=np.float64),
        fnn.Sigmoid(),
        fnn.Linear(100, 10, bias=False, dtype=np.float64),
    ]
    model = fnn.Sequential(*layers)
    model.load_state_dict({"0.weight": w1.T, "2.weight": w2.T})

    def summed_squares(output, target):
        return F.mse_loss_with_grad(output, target, reduction="sum")

    run = fnn.Trainer(model, summed_squares, fnn.SGD(lr=1e-4))
    for _ in range(20):
        h = 1 / (1 + np.exp(-x @ w1))
        y_pred = h @ w2
        loss = np.square(y_pred - y).sum()
        grad_y_pred = 2 * (y_pred - y)
        grad_w2 = h.T @ grad_y_pred
        grad_h = grad_y_pred @ w2.T
        grad_w1 = x.T @ (grad_h * h * (1 - h))
        w1 -= 1e-4 * grad_w1
        w2 -= 1e-4 * grad_w2
        np.testing.assert_allclose(run.step(x, y), loss, rtol=1e-10)
        np.testing.assert_allclose(model[0].weight, w1.T, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(model[2].weight, w2.T, rtol=1e-9, atol=1e-11)


# ------------------------------------------------------------------------------------------------------------------ layers


def test_a_row_is_added_to_each_row():
    x = np.arange(12.0).reshape(4, 3)
    layer = fnn.Linear(3, 3, init=("identity", lambda shape, rng: [100, 200, 300]), dtype=np.float64)
    np.testing.assert_array_equal(layer(x), x + [100, 200, 300])


@pytest.mark.parametrize("sizes", [(7, 5, 3), (7, 9, 6, 3)])
def test_layers_without_activations_collapse_into_one(sizes):
    layers = [
        fnn.Linear(m, n, bias=False, rng=i, dtype=np.float64)
        for i, (m, n) in enumerate(zip(sizes, sizes[1:], strict=False))
    ]
    product = np.eye(7)
    for layer in layers:
        product = layer.weight @ product
    x = RNG.standard_normal((20, 7))
    np.testing.assert_allclose(fnn.Sequential(*layers)(x), F.linear(x, product), rtol=1e-12, atol=1e-12)


def test_a_forward_pass_of_column_vectors():
    sizes = (3, 4, 4, 1)
    model = fnn.MLP(sizes, "sigmoid", seed=0, dtype=np.float64)
    (w1, b1), (w2, b2), (w3, b3) = ((model[i].weight, model[i].bias[:, None]) for i in (0, 2, 4))
    x = RNG.standard_normal((3, 1))

    def f(z):
        return 1 / (1 + np.exp(-z))

    h1 = f(w1 @ x + b1)
    h2 = f(w2 @ h1 + b2)
    out = w3 @ h2 + b3
    assert (h1.shape, h2.shape, out.shape) == ((4, 1), (4, 1), (1, 1))
    np.testing.assert_allclose(model(x.T), out.T, rtol=1e-12)


def test_the_mean_image_and_the_mean_of_each_channel():
    x = RNG.integers(0, 256, (20, 4, 4, 3)).astype(np.float64)
    assert fnn.datasets.mean_image(x).shape == (4, 4, 3)
    assert fnn.datasets.channel_mean(x).shape == (3,)
    np.testing.assert_allclose((x - fnn.datasets.mean_image(x)).mean(0), 0, atol=1e-12)
    np.testing.assert_allclose((x - fnn.datasets.channel_mean(x)).mean((0, 1, 2)), 0, atol=1e-12)


def test_a_bias_of_a_tenth():
    model = fnn.MLP([4, 5, 2], init=("xavier_normal", "constant"), seed=0)
    assert (model[0].bias == np.float32(0.1)).all()
