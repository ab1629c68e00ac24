"""Gates between NumPy arrays and the C kernels. Internal: the public functions are those of fastnn.functional."""

from typing import Any, NamedTuple

class ActivationInfo(NamedTuple):
    name: str
    params: dict[str, float]
    saves: str
    ulp: float
    ulp_backward: float
    domain: tuple[float, float]
    layer: str
    ulp_float64: float
    ulp_backward_float64: float
    output: tuple[float, float]
    gain: float

MSE: int

def activations() -> dict[str, ActivationInfo]: ...
def saves(name: str, params: dict[str, float]) -> str: ...
def activation_forward(name: str, x: Any, params: dict[str, float], out: Any) -> Any: ...
def activation_backward(name: str, grad: Any, x: Any, y: Any, params: dict[str, float], out: Any) -> Any: ...
def prelu(x: Any, weight: Any, out: Any) -> Any: ...
def prelu_backward(grad: Any, x: Any, weight: Any) -> Any: ...
def maxout(x: Any, return_index: bool, out: Any) -> Any: ...
def maxout_backward(grad: Any, index: Any, pieces: int, out: Any) -> Any: ...
def dropout(x: Any, p: float, seed: int, step: int, out: Any, layer: int = 0, first: int = 0) -> Any: ...
def matmul(a: Any, b: Any, out: Any) -> Any: ...
def linear(
    x: Any,
    weight: Any,
    bias: Any,
    activation: str | None,
    out: Any,
    return_preactivation: bool,
    params: dict[str, float],
) -> Any: ...
def linear_backward(
    grad: Any, x: Any, weight: Any, activation: str | None, z: Any, y: Any, need_dx: bool, params: dict[str, float]
) -> Any: ...
def softmax(func: str, x: Any, axis: int, out: Any) -> Any: ...
def softmax_backward(func: str, grad: Any, y: Any, axis: int, out: Any) -> Any: ...
def cross_entropy(
    func: str,
    logits: Any,
    target: Any,
    weight: Any,
    sample_weight: Any,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    divisor: float | None,
    with_grad: bool,
    out: Any,
) -> Any: ...
def pointwise_loss(
    func: str,
    row: int,
    input: Any,
    target: Any,
    sample_weight: Any,
    reduction: str,
    divisor: float | None,
    with_grad: bool,
    out: Any,
) -> Any: ...
def sgd_update(
    param: Any, grad: Any, velocity: Any, lr: float, momentum: float, nesterov: bool, weight_decay: float
) -> None: ...
def adam_update(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
) -> None: ...
def available_isas() -> list[str]: ...
def isa() -> str: ...
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def set_thread_bound(n: int) -> int: ...
def check_num_threads(func: str, n: object) -> int: ...

MAX_THREADS: int

def _force_threads(on: bool) -> bool: ...
def _threads_of_last_job() -> int: ...
def _copies() -> int: ...
def _use_isa(name: str) -> None: ...
def _panels(
    form: str,
    out: Any,
    first: Any,
    second: Any,
    batch: int,
    outputs: int,
    inputs: int,
    bias: Any = None,
    activation: str | None = None,
) -> Any: ...
def _fma_chains(steps: int, dtype: int = 0) -> int: ...
