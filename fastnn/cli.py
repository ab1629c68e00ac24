"""The command line: ``fastnn train``, ``predict``, ``evaluate``, ``bench``, ``info``, ``verify``."""

import errno
import json
import os
import platform
import sys
import tempfile
import time

import numpy as np

from fastnn import _fastnn_core


def versions():
    """Return versions, ISA and threads as a dict of plain values."""
    from fastnn import __version__

    return {
        "fastnn": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "isa": _fastnn_core.isa(),
        "available_isas": _fastnn_core.available_isas(),
        "threads": _fastnn_core.get_num_threads(),
    }


def show_versions():
    """Print versions, ISA and threads; for bug reports."""
    for key, value in versions().items():
        print(f"{key:15} {', '.join(value) if isinstance(value, list) else value}")


def _info(options):
    if options.features:
        from fastnn import features

        print(
            json.dumps(features.features()) if options.json else features.page(), end="" if not options.json else "\n"
        )
    elif options.json:
        print(json.dumps(versions()))
    else:
        show_versions()


def _verify(options):
    from fastnn import verify

    result = verify.verify()
    print(json.dumps(result) if options.json else "\n".join(verify.describe(result)))
    if not verify.succeeded(result):
        raise SystemExit(1)


# Of `fastnn train digits`; the second line has what options stand for where they are not given.
BATCH_SIZE, DROPOUT, LABEL_SMOOTHING = 32, 0.5, 0.1
DIGITS = {"seed": 0, "hidden": [256], "epochs": 100, "lr": 2e-3, "out": "digits.safetensors"}


ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "FASTNN_NUM_THREADS")


def _restart_with_one_thread():
    """Run this command again with one thread on both sides: libraries read these variables only when they are loaded."""
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, sys.orig_argv, os.environ | dict.fromkeys(ONE_THREAD, "1"))


def _stratified_split(y, seed=0, share=0.2):
    """Return the rows to train on and the rows held out: the same share of each label, the same split for the same seed."""
    from fastnn.random import permutation

    held_out = []
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        held_out.append(rows[permutation(len(rows), seed, int(label))[: round(len(rows) * share)]])
    held_out = np.sort(np.concatenate(held_out))
    return np.setdiff1d(np.arange(len(y)), held_out), held_out


def _times_faster(sizes, x, y, lr, epochs=5):
    """Train the same net with fastnn and with the NumPy reference, epoch by epoch in turn; return the ratio of medians."""
    from fastnn.benchmarks import ReferenceMLP

    trainer = _digits_trainer(sizes, lr, seed=0)
    reference = ReferenceMLP(trainer.model, lr, DROPOUT, LABEL_SMOOTHING)
    seconds = {"fastnn": [], "reference": []}
    for _ in range(epochs):
        for name, step in (("fastnn", trainer.step), ("reference", reference.step)):
            start = time.perf_counter()
            for i in range(0, len(x), BATCH_SIZE):
                step(x[i : i + BATCH_SIZE], y[i : i + BATCH_SIZE])
            seconds[name].append(time.perf_counter() - start)
    return float(np.median(seconds["reference"]) / np.median(seconds["fastnn"]))


def _digits_trainer(sizes, lr, seed):
    from fastnn.layers import MLP
    from fastnn.losses import CrossEntropy
    from fastnn.optim import Adam
    from fastnn.trainer import Trainer

    model = MLP(sizes, dropout=DROPOUT, task="classification", seed=seed)
    return Trainer(model, CrossEntropy(label_smoothing=LABEL_SMOOTHING), Adam(lr=lr), seed=seed)


def _check_output(path):
    """Raise OSError, or ValueError, if a file cannot be written at the path; nothing changes there."""
    if not path:
        raise ValueError("--out needs the name of a file")
    if os.path.isdir(path) or os.path.basename(path) == "":
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path} is a device or a pipe, not a file")
    if os.path.exists(path) and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    folder, name = os.path.split(os.path.realpath(path))
    try:  # only an attempt knows of read-only file systems, quotas and names too long
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{name}."):
            pass
    except OSError as error:
        raise type(error)(error.errno, error.strerror, path) from None


def _only_for(options, names, what):
    """Raise ValueError where an option is given that is of no use here."""
    for name in names:
        if getattr(options, name) not in (None, False):
            raise ValueError(f"--{name} is for {what}, not for {options.data}")


def _train(options):
    if options.data != "digits":
        from fastnn.table import commands

        _only_for(options, ("hidden", "lr"), "digits")
        commands.train_file(options, _check_output)
        return
    _only_for(options, ("target", "task", "preset", "compare"), "tables")
    for name, value in DIGITS.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    _train_digits(options)


def _predict(options):
    from fastnn.table import commands

    commands.predict_file(options, _check_output)


def _evaluate(options):
    from fastnn.table import commands

    commands.evaluate_file(options)


def _train_digits(options):
    from fastnn.datasets import load_digits
    from fastnn.serialization import save

    _check_output(options.out)  # before the work, not after it
    x, y = load_digits()
    x /= 16
    kept, held_out = _stratified_split(y)
    sizes = (x.shape[1], *options.hidden, 10)
    trainer = _digits_trainer(sizes, options.lr, options.seed)
    start = time.perf_counter()
    verbose = False if options.json else "auto"
    trainer.fit(x[kept], y[kept], epochs=options.epochs, batch_size=BATCH_SIZE, verbose=verbose)
    result = {
        "data": "digits",
        "split": f"{len(kept)} rows to train, {len(held_out)} held out, stratified",
        "seed": options.seed,
        "held_out_accuracy": trainer.evaluate(x[held_out], y[held_out])["accuracy"],
        "rows_per_second": options.epochs * len(kept) / (time.perf_counter() - start),
        "times_faster_than_numpy": _times_faster(sizes, x[kept], y[kept], options.lr),
        "saved": options.out,
    }
    save(trainer.model, options.out)
    if options.json:
        print(json.dumps(result))
        return
    print(f"split              {result['split']}")
    print(f"seed               {result['seed']}")
    print(f"held-out accuracy  {result['held_out_accuracy']:.4f}")
    print(f"throughput         {result['rows_per_second']:,.0f} rows/s")
    print(
        f"against NumPy      {result['times_faster_than_numpy']:.1f} times faster, the same training in this run, one thread each"
    )
    print(f"saved              {result['saved']}")


def _bench(options):
    from fastnn.benchmarks import report

    if options.peak:
        report.print_peak(options.threads, as_json=options.json)
    else:
        report.print_cases(options.only, options.seconds, options.threads, quick=options.quick, as_json=options.json)


def _parser():
    import argparse

    from fastnn import __version__

    class Parser(argparse.ArgumentParser):
        def error(self, message):
            self.exit(2, f"{self.prog}: {message}\n")

    def positive(kind):
        def parse(text):
            value = kind(text)
            if not 0 < value < float("inf"):
                raise argparse.ArgumentTypeError(f"{text} is not positive")
            return value

        parse.__name__ = kind.__name__
        return parse

    def seed(text):
        if not 0 <= int(text) < 2**64:
            raise argparse.ArgumentTypeError(f"{text} is {'negative' if int(text) < 0 else 'not below 2^64'}")
        return int(text)

    def sizes(text):
        return [positive(int)(part) for part in text.split(",") if part]

    parser = Parser(prog="fastnn", description="Neural-network kernels for CPUs.")
    parser.add_argument("--version", action="version", version=f"fastnn {__version__}")
    parser.set_defaults(command=None, run=lambda options: parser.print_help())
    listed = "train | predict | evaluate | bench | info | verify"
    commands = parser.add_subparsers(dest="command", metavar=listed, parser_class=Parser)
    train = commands.add_parser("train", help="train a model on a table, or an MLP on the digits, and save it")
    train.add_argument("data", help="a CSV file; or digits: 1,797 handwritten digits that come with the package")
    train.add_argument("--target", metavar="COLUMN", help="the column of the table to predict")
    train.add_argument("--out", help="where to save the model (DATA.safetensors)")
    train.add_argument("--task", choices=("classification", "regression"), help="of the table (recognised)")
    train.add_argument("--preset", help="recipe for the table: realmlp, tabm or plain (realmlp)")
    train.add_argument("--compare", action="store_true", help="train scikit-learn's MLP and LightGBM on the table too")
    train.add_argument("--seed", type=seed, help="of split, weights, dropout and order (drawn; of digits 0)")
    train.add_argument("--epochs", type=positive(int), help="at most (as the recipe has it; of digits 100)")
    train.add_argument("--hidden", type=sizes, metavar="N[,N...]", help="of digits: sizes of the hidden layers (256)")
    train.add_argument("--lr", type=positive(float), help="of digits: learning rate of Adam (0.002)")
    train.set_defaults(run=_train)
    predict = commands.add_parser("predict", help="predict the target of a table's rows")
    predict.add_argument("model", help="the file that fastnn train wrote")
    predict.add_argument("data", help="a CSV file; it may have the target or not")
    predict.add_argument("--out", help="where to write its columns and the predictions (standard output)")
    predict.add_argument(
        "--interval",
        type=positive(float),
        metavar="P",
        help="of a number: add low and high, between which it lies with this probability, such as 0.9",
    )
    predict.set_defaults(run=_predict)
    evaluate = commands.add_parser("evaluate", help="compare predictions with a table's target")
    evaluate.add_argument("model", help="the file that fastnn train wrote")
    evaluate.add_argument("data", help="a CSV file with the target")
    evaluate.set_defaults(run=_evaluate)
    bench = commands.add_parser("bench", help="compare fastnn with NumPy, and PyTorch, on this machine")
    bench.add_argument("--only", default="", metavar="TEXT", help="cases whose group and name contain TEXT")
    bench.add_argument("--quick", action="store_true", help="fewer cases, less time for each: under a minute in all")
    bench.add_argument("--seconds", type=positive(float), help="per case and side (0.3; with --quick 0.04)")
    bench.add_argument("--threads", type=positive(int), default=1, help="of fastnn and of the others (%(default)s)")
    bench.add_argument("--peak", action="store_true", help="measure what the machine can do: multiply-adds and memcpy")
    bench.set_defaults(run=_bench)
    info = commands.add_parser("info", help="versions, ISA, threads")
    info.add_argument(
        "--features", action="store_true", help="the losses, layers, optimizers and so on that there are, as Markdown"
    )
    info.set_defaults(run=_info)
    verify = commands.add_parser("verify", help="compare the bits of this machine's results with the published ones")
    verify.set_defaults(run=_verify)
    for command in (train, predict, evaluate, bench, info, verify):
        command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def _flush():
    """Write out what standard output holds back. If that fails, drop it, or the interpreter would complain once more at its end."""
    try:
        if sys.stdout is not None:  # None where it was closed before the start, as is standard error
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _fail(program, error):
    """End with exit status 2 and one line on standard error."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or 'standard output'}: {error.strerror}"
    if sys.stderr is not None:
        print(f"{program}: {text}", file=sys.stderr)
    raise SystemExit(2) from None


def main(arguments=None):
    """Run the command line; errors of use are one line on standard error and exit status 2."""
    program = "fastnn"
    try:
        try:
            options = _parser().parse_args(arguments)
            program = f"fastnn {options.command}"
            if arguments is None and (
                options.command == "bench" or getattr(options, "data", "") == "digits"
            ):  # they compare with NumPy
                _restart_with_one_thread()
            options.run(options)
        finally:
            _flush()
    except BrokenPipeError:  # whoever read the output, say `head`, has seen enough
        raise SystemExit(1) from None
    except (ValueError, TypeError, ArithmeticError, MemoryError, OSError) as error:
        _fail(program, error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
