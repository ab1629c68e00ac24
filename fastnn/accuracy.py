"""Measure the error of every activation and its derivative over all float32 numbers: ``python -m fastnn.accuracy``.

Design
A. The error of y against the true value t is |y - t| in units in the last place of float32 at t. t comes from the float64 kernels,
   whose own error is far below what is measured; they are held to long double by ``float64`` here and, near the roots of derivatives,
   to mpmath by the tests.
B. The worst of every block, and everything near those roots, is measured again with t from :mod:`fastnn.reference` in long double.
C. Numbers are taken by their bit patterns, in blocks that fit the caches, on all processors.
"""

import argparse
import functools
import json
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from fastnn import functional as F
from fastnn import num_threads
from fastnn import reference as R

BLOCK = 1 << 13
ROOTS = {"silu": -1.2784645, "gelu": -0.7517916, "mish": -1.1924312, "gelu_tanh": -0.7524614}  # of derivatives
NEAR = 1 << 14  # floats on either side
WORST = 8  # of a block, measured again
TORCH = {  # names of torch.nn.functional that differ from ours
    "square": lambda torch, x: torch.square(x),
    "identity": lambda torch, x: x + 0,
    "gelu_tanh": lambda torch, x: torch.nn.functional.gelu(x, approximate="tanh"),
    "threshold": lambda torch, x: torch.nn.functional.threshold(x, 1.0, 0.0),
}


def ulps(y, true):
    """Return the error of y in units in the last place of its dtype at each true value; 0 where both overflow or are NaN.

    Parameters
    ----------
    y : ndarray of float32 or float64
    true : ndarray of float64 or long double
        Wider than y.

    Returns
    -------
    ndarray
        Of true's dtype.
    """
    info = np.finfo(y.dtype)
    if true.dtype == np.float64:  # the exponent's bits alone are the power of two below
        unit = (true.view(np.int64) & 0x7FF0000000000000).view(np.float64)
        unit *= float(info.eps)
    else:
        unit = np.ldexp(true.dtype.type(1), np.frexp(true)[1] - (info.nmant + 1))
    unit = np.maximum(unit, true.dtype.type(info.smallest_subnormal), out=unit)
    with np.errstate(invalid="ignore"):
        error = y.astype(true.dtype)
        error -= true
        np.abs(error, out=error)
        error /= unit
    if not np.isfinite(error).all():
        with np.errstate(over="ignore"):
            rounded = true.astype(y.dtype)
        same = (y == rounded) & ~np.isfinite(rounded) | np.isnan(y) & np.isnan(true)
        error = np.where(same, 0, np.where(np.isnan(error), np.inf, error))
    return error


def _evaluate(functions, name, kind, x):
    """f(x), f'(x), or f' as a function of y, with the incoming gradient 1."""
    if kind == "forward":
        return getattr(functions, name)(x)
    return getattr(functions, f"{name}_backward")(np.ones_like(x), **{kind: x})


def _peer(package, name, kind, x):
    """The same by NumPy in float32 or by PyTorch; None where it has no such function."""
    if package == "numpy":
        with np.errstate(all="ignore"):
            return _evaluate(R, name, kind, x)
    import torch

    function = TORCH.get(name) or getattr(torch.nn.functional, name, None) or getattr(torch, name)
    call = functools.partial(function, torch) if name in TORCH else function
    tensor = torch.from_numpy(x).requires_grad_(kind == "x")
    y = call(tensor)
    if kind == "x":
        y.backward(torch.ones_like(y))
        y = tensor.grad
    return y.detach().numpy()


def _near_root(name, x):
    """Where x is within NEAR floats of the root of the derivative."""
    if name not in ROOTS:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.abs(x.view(np.int32) - np.float32(ROOTS[name]).view(np.int32)) < NEAR)


def _block(name, kind, first, stride, domain, package):
    """Worst error, and where, of one block: bit patterns first, first + stride, ..."""
    bits = first + stride * np.arange(BLOCK, dtype=np.int64)
    x = bits[bits < 2**32].astype(np.uint32).view(np.float32)
    x = x[(x >= domain[0]) & (x <= domain[1])]  # and no NaN
    if x.size == 0:
        return 0.0, 0.0
    y = _evaluate(F, name, kind, x) if package is None else _peer(package, name, kind, x)
    error = ulps(y, _evaluate(F, name, kind, x.astype(np.float64)))
    again = np.argpartition(error, -min(WORST, x.size))[-WORST:]
    if kind == "x":
        again = np.union1d(again, _near_root(name, x))
    wide = x[again].astype(np.longdouble)
    with np.errstate(all="ignore"):
        error[again] = ulps(y[again], _evaluate(R, name, kind, wide))
    worst = int(error.argmax())
    return float(error[worst]), float(x[worst])


def _blocks(task):
    """A stretch of blocks in one process."""
    name, kind, starts, stride, domain, package = task
    with num_threads.threads(1):
        return max(_block(name, kind, first, stride, domain, package) for first in starts)


def _domain(info, kind):
    """The interval of arguments: of x, or of the values y that the function takes."""
    if kind != "y":
        return info.domain
    y = getattr(F, info.name)(np.linspace(-1000, 1000, 100_001, dtype=np.float32))
    ends = getattr(F, info.name)(np.array([-np.inf, np.inf], np.float32))
    return float(min(y.min(), ends.min())), float(max(y.max(), ends.max()))


def measure(name, kind, *, stride=1, pool=None, package=None):
    """Find the worst error of an activation over float32.

    Parameters
    ----------
    name : str
    kind : {"forward", "x", "y"}
        The function, its derivative from x, or its derivative as a function of y.
    stride : int
        Take every stride-th bit pattern; 1 takes all 2^32.
    pool : ProcessPoolExecutor, optional
    package : {"numpy", "torch"}, optional
        Measure this one instead of fastnn.

    Returns
    -------
    tuple
        The error in ulp, and an argument where it occurs.
    """
    info = F.activations()[name]
    starts = range(0, 2**32, BLOCK * stride)
    pieces = [starts[i : i + 1024] for i in range(0, len(starts), 1024)]
    tasks = [(name, kind, piece, stride, _domain(info, kind), package) for piece in pieces]
    return max(pool.map(_blocks, tasks) if pool else map(_blocks, tasks))


def _float64_block(task):
    name, kind, seed = task
    rng = np.random.default_rng(seed)
    scale = np.exp2(rng.uniform(-40, 10, BLOCK // 2))
    x = np.concatenate([rng.standard_normal(BLOCK // 2) * scale, rng.uniform(-40, 40, BLOCK // 2)])
    if kind == "y":
        x = getattr(F, name)(x)
    with np.errstate(all="ignore"):
        true = _evaluate(R, name, kind, x.astype(np.longdouble))
    error = ulps(_evaluate(F, name, kind, x), true)
    if kind == "x":
        error[np.abs(x - ROOTS.get(name, np.inf)) < 2**-6] = 0
    if kind == "y":
        error[np.abs(true) < 2**-8] = 0
    return float(error.max())


def measure_float64(name, kind, *, points=10**7, seed=0, pool=None):
    """Find the worst error of an activation in float64, in ulp, over random points of all sizes.

    Against :mod:`fastnn.reference` in long double: not where that cancels, within 2^-6 of a root of a derivative, or where f' as a
    function of y is below 2^-8.

    Returns
    -------
    float
    """
    tasks = [(name, kind, (seed, i)) for i in range(max(1, points // BLOCK))]
    return max(pool.map(_float64_block, tasks, chunksize=16) if pool else map(_float64_block, tasks))


def kinds(info):
    """Return what there is to measure of a row."""
    return ("forward", "x", "y") if info.saves == "y" else ("forward", "x")


def bound(info, kind):
    """Return the bound a row states: 1 for a derivative as a function of y."""
    return {"forward": info.ulp, "x": info.ulp_backward, "y": 1.0}[kind]


def _markdown(results, options):
    taken = "all float32 numbers" if options.stride == 1 else f"one in {options.stride} of all float32 numbers"
    lines = [
        "# Accuracy",
        "",
        f"Worst errors in units in the last place, over {taken} and default parameters; `f'` with an",
        "incoming gradient of 1, `f'(y)` as a function of y. NumPy and PyTorch over every 1009th number: `fastnn.reference` in float32 with",
        f"NumPy {np.__version__}, and the function of that name. float64 at {options.float64:,} random points, against long double, but near the roots",
        "of derivatives, where that cancels. The bounds are the rows of",
        "`csrc/activations.h`, which the tests hold; this file is written by",
        "",
        f"    python -m fastnn.accuracy --stride {options.stride} --peers --float64 {options.float64} --markdown docs/accuracy.md",
        "",
        "| function | | bound | worst | at | NumPy | PyTorch | float64 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    of = {"forward": "f", "x": "f'", "y": "f'(y)"}
    for result in results:
        others = [f"{result[key]:.3g}" if key in result else "" for key in ("numpy", "torch", "float64")]
        witness = repr(result["witness"]) if result["ulp"] else ""
        lines.append(f"| {result['name']} | {of[result['kind']]} | {result['bound']:g} | {result['ulp']:.4f} | {witness} | "
                     + " | ".join(others) + " |")  # fmt: skip
    return "\n".join(lines) + "\n"


def main(arguments=None):
    """Print the worst error of each function asked for; exit status 1 if one exceeds its row's bound."""
    rows = F.activations()
    parser = argparse.ArgumentParser(prog="python -m fastnn.accuracy", description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="activations; all without")
    parser.add_argument("--stride", type=int, default=1, help="every N-th float32 (%(default)s)")
    parser.add_argument("--peers", action="store_true", help="NumPy and PyTorch too, with a stride of at least 1009")
    parser.add_argument(
        "--float64", type=int, default=0, metavar="POINTS", help="also in float64, at so many random points"
    )
    parser.add_argument("--json", metavar="FILE", help="store the results")
    parser.add_argument("--markdown", metavar="FILE", help="store them as a table for docs/accuracy.md")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in rows:
            parser.exit(2, f"accuracy: unknown activation {name!r} (there are {', '.join(rows)})\n")
    if options.stride < 1:
        parser.exit(2, f"accuracy: --stride is {options.stride} but a positive number was expected\n")
    results = []
    with ProcessPoolExecutor(num_threads.get_num_threads()) as pool:
        for name in options.names or rows:
            for kind in kinds(rows[name]):
                worst, witness = measure(name, kind, stride=options.stride, pool=pool)
                result = {
                    "name": name,
                    "kind": kind,
                    "bound": bound(rows[name], kind),
                    "ulp": worst,
                    "witness": witness,
                }
                for package in ("numpy", "torch") if options.peers and kind != "y" else ():
                    stride = max(options.stride, 1009)
                    result[package] = measure(name, kind, stride=stride, pool=pool, package=package)[0]
                if options.float64:
                    result["float64"] = measure_float64(name, kind, points=options.float64, pool=pool)
                results.append({**result, "stride": options.stride})
                print(f"{name:12} {kind:8} {worst:9.6f} ulp of {result['bound']:4.2f} at {witness!r:24}"
                      + "".join(f" {package} {result[package]:.3g}" for package in ("numpy", "torch") if package in result),
                      flush=True)  # fmt: skip
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)
    if options.markdown:
        with open(options.markdown, "w") as file:
            file.write(_markdown(results, options))
    return int(any(result["ulp"] > result["bound"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
