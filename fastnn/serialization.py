"""Models and trainers in safetensors files: tensors by PyTorch's names, the rest as JSON in the metadata. No code is ever loaded.

The format (an 8-byte little-endian length, a JSON header with dtype, shape and offsets of each tensor, the raw data) is described
at https://github.com/huggingface/safetensors.

Design
A. ``describe`` and ``construct`` turn every specification (layer, loss, optimizer, schedule) into its class and the arguments of its
   constructor, and back. A layer is constructed blank (see ``layers.base``): its arrays have shapes but no memory, so that a file
   is compared with its architecture before anything is drawn or allocated.
B. A file is read as if an enemy had written it: each length, name, type and offset is checked before it is used, and whatever is
   wrong is one ValueError.
C. A file is written beside its destination under a name nobody else has and renamed when it is complete.
D. The file of a trainer is that of its model, the one that predicts, and more: tensors whose names begin with "trainer.", and a table
   "trainer" in the metadata. So ``load`` reads the model of either. What is not fastnn's own, such as a loss of the user's, stands there
   by its name alone, so that whoever loads the trainer can be told what to pass again.
"""

import dataclasses
import functools
import os
import stat

import numpy as np

from fastnn import layers
from fastnn.history import History
from fastnn.layers.base import Layer, argument_names, as_count, as_integer, as_nonnegative
from fastnn.layers.containers import Container
from fastnn.losses import LOSSES, Loss
from fastnn.metrics import METRICS
from fastnn.optim import OPTIMIZERS, Optimizer
from fastnn.schedules import SCHEDULES

_DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
_CODES = {dtype.newbyteorder("="): code for code, dtype in _DTYPES.items()}
_MAX_HEADER = 100_000_000  # bytes, the limit of the format
_TRAINER = "trainer."  # begins the names of a trainer's tensors, which no array of a Sequential has
_VERSION = 1  # of a trainer's file


class _NotOurs(TypeError):
    """What cannot be described, as its class is not fastnn's; ``name`` is that of the function or class."""

    def __init__(self, message, name):
        super().__init__(message)
        self.name = name


@functools.cache
def _classes():
    """Return the classes that can be described, by name. An MLP is described as the Sequential it is."""
    names = [name for name in layers.__all__ if name not in ("Layer", "MLP")]
    classes = [*(getattr(layers, name) for name in names), *LOSSES.values(), *OPTIMIZERS.values(), *SCHEDULES.values()]
    return {cls.__name__: cls for cls in classes}


def describe(obj):
    """Return what makes a specification again, as JSON can hold it.

    Parameters
    ----------
    obj : layer, loss, optimizer or schedule of fastnn

    Returns
    -------
    dict
        ``{"class": name, "config": arguments of the constructor}``; containers have ``"layers"`` instead.

    Raises
    ------
    TypeError
        For an object of a class that is not fastnn's.
    """
    cls = layers.Sequential if type(obj) is layers.MLP else type(obj)
    name = cls.__name__
    if _classes().get(name) is not cls:
        if isinstance(obj, Layer) or hasattr(obj, "vjp"):
            raise _NotOurs(f"save: {name} is no layer of fastnn; its state_dict() can be saved by other means", name)
        raise _NotOurs(f"describe: {name} is not a class of fastnn", getattr(obj, "__name__", name))
    if isinstance(obj, Container):
        beside = {key: _as_json(getattr(obj, key)) for key in cls._described}
        return {"class": name, **beside, "layers": [describe(layer) for layer in obj.layers]}
    config = obj.config if isinstance(obj, Layer) else {key: getattr(obj, key) for key in argument_names(cls)}
    return {"class": name, "config": {key: _as_json(value) for key, value in config.items()}}


def _as_json(value):
    if isinstance(value, (tuple, list)):
        return [_as_json(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return describe(value) if dataclasses.is_dataclass(value) else value


def construct(description):
    """Make what ``describe`` described.

    Parameters
    ----------
    description : dict

    Returns
    -------
    layer, loss, optimizer or schedule
        A layer draws no parameters: its arrays are zeros without memory until ``load_state_dict``.

    Raises
    ------
    ValueError, TypeError
        For anything that ``describe`` would not return.
    """
    if not isinstance(description, dict):
        raise TypeError(f"a description is {type(description).__name__} but a dict was expected")
    name = description.get("class")
    cls = _classes().get(name) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(f"class {name!r} is unknown")
    if issubclass(cls, Container):
        return _construct_container(cls, description)
    _require_keys(description, ("class", "config"), name)
    config = description["config"]
    if not isinstance(config, dict):
        raise TypeError(f"{name}: config is {type(config).__name__} but a dict was expected")
    names = argument_names(cls)
    for key in config:
        if key not in names or key == "rng" or (key == "init" and issubclass(cls, Layer)):
            raise ValueError(f"{name}: unknown argument {key!r}")
    config = {key: _from_json(value) for key, value in config.items()}
    return (cls._made_blank if issubclass(cls, Layer) else cls)(**config)


def _from_json(value):
    return construct(value) if isinstance(value, dict) else value


def _construct_container(cls, description):
    _require_keys(description, ("class", *cls._described, "layers"), cls.__name__)
    if not isinstance(description["layers"], list):
        raise TypeError(f"{cls.__name__}: layers is {type(description['layers']).__name__} but a list was expected")
    beside = {key: description[key] for key in cls._described}
    return cls._made_of([construct(inner) for inner in description["layers"]], **beside)


def _require_keys(table, names, what):
    if table.keys() != set(names):
        raise ValueError(
            f"{what} has the keys {', '.join(sorted(map(repr, table)))} but {', '.join(names)} were expected"
        )


def parse(text):
    """Return the value of a JSON text; duplicate names and NaN are refused."""
    from json import loads  # on first use: it would take a tenth of the package's import

    def table(pairs):
        named = dict(pairs)
        if len(named) < len(pairs):
            raise ValueError("a name stands twice in one table")
        return named

    def constant(name):
        if name == "NaN":
            raise ValueError("a number is NaN")
        return float(name)

    try:
        return loads(text, object_pairs_hook=table, parse_constant=constant)
    except RecursionError:
        raise ValueError("tables are nested too deeply") from None


def _read(path):
    """Return the tensors, as views of the file's bytes, and the metadata."""
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= min(len(data) - 8, _MAX_HEADER):
        raise ValueError("the header's length does not fit the file")
    header = parse(data[8 : 8 + length].decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError(f"the header is {type(header).__name__} but a table was expected")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("__metadata__ is not a table of strings")
    body = memoryview(data)[8 + length :]
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: _offsets(*item)):
        start, stop = entry["data_offsets"]
        if start != end:
            raise ValueError(f"tensor {name!r} starts at byte {start} but the one before ends at byte {end}")
        end = stop
    if end != len(body):
        raise ValueError(f"the tensors end at byte {end} but the data at byte {len(body)}")
    return {name: _tensor(name, entry, body) for name, entry in header.items()}, metadata


def _offsets(name, entry):
    """Return the bytes a tensor is said to take; its entry holds numbers that fit one another."""
    if not isinstance(entry, dict):
        raise ValueError(f"the entry of tensor {name!r} is {type(entry).__name__} but a table was expected")
    _require_keys(entry, ("dtype", "shape", "data_offsets"), f"the entry of tensor {name!r}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(f"tensor {name!r} has dtype {dtype!r} but F32, F64 or I64 was expected")
    for numbers, what in ((shape, "shape"), (offsets, "data_offsets")):
        if not isinstance(numbers, list) or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f"{what} of tensor {name!r} is not a list of integers of at least 0")
    size = _DTYPES[dtype].itemsize
    for length in shape:
        size *= length
    if len(offsets) != 2 or offsets[1] - offsets[0] != size:
        raise ValueError(f"tensor {name!r} of shape {tuple(shape)} takes {size} bytes, not those of {offsets}")
    return tuple(offsets)


def _tensor(name, entry, body):
    start, stop = entry["data_offsets"]
    try:
        return np.frombuffer(body, np.uint8)[start:stop].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    except (ValueError, OverflowError):  # more dimensions, or longer ones, than an array can have
        raise ValueError(f"tensor {name!r} has the impossible shape {tuple(entry['shape'])}") from None


def load(path):
    """Read a model that ``save`` wrote, or that of a trainer, with averages of its parameters where the trainer keeps them.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Layer or TableModel
        An MLP comes back as the Sequential it is; a model of a table, which ``TableModel.save`` or ``fastnn train`` wrote, as a TableModel.

    Raises
    ------
    ValueError
        For a file that is not a safetensors file with a fastnn architecture, or does not fit it.
    """
    path = as_path(path, "load")
    try:
        tensors, metadata = _read(path)
    except ValueError as error:
        raise ValueError(f"load: {path}: not a safetensors file of float32, float64 or int64: {_line(error)}") from None
    if "table" in metadata:
        return _table_model(path, tensors, metadata)
    if "architecture" not in metadata:
        raise ValueError(f"load: {path}: the file has tensors but no fastnn architecture; use load_state_dict")
    if "trainer" in metadata:
        tensors = {name: value for name, value in tensors.items() if not name.startswith(_TRAINER)}
    try:
        model = construct(parse(metadata["architecture"]))
        if not isinstance(model, Layer):
            raise TypeError(f"{type(model).__name__} is not a layer")
        model.load_state_dict(tensors)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(
            f"load: {path}: the architecture in the file is not fastnn's, or does not fit: {_line(error)}"
        ) from None
    return model


def _table_model(path, tensors, metadata):
    from fastnn.table.model import TableModel  # on first use: whoever has no tables loads nothing of them

    try:
        return TableModel.of(tensors, metadata)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, IndexError) as error:
        raise ValueError(
            f"load: {path}: the table in the file is not fastnn's, or does not fit: {_line(error)}"
        ) from None


def _line(error):
    """Return an error's message as one line of reasonable length; it may quote the file."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]}..."


def save(model, path):
    """Write a model to a safetensors file; an existing file is replaced only once the new one is complete.

    The file keeps its mode; where ``path`` is a symbolic link, the file it points to is replaced.

    Parameters
    ----------
    model : Layer
        Made of fastnn's own layers.
    path : str or path-like

    Raises
    ------
    TypeError
        For anything but a layer, and for a model with layers that are not fastnn's.
    OSError
        Where the file cannot be written, such as IsADirectoryError for a folder. No file has changed then.
    """
    if not isinstance(model, Layer):
        if isinstance(path, Layer):
            raise TypeError("save: model and path are swapped; call save(model, path)")
        if isinstance(getattr(model, "model", None), Layer):
            raise TypeError(f"save: model is a {type(model).__name__}; pass its model, such as trainer.model")
        raise TypeError(f"save: model is {type(model).__name__} but a layer, such as Sequential, was expected")
    tensors = dict(model._named_state())
    from json import dumps  # on first use

    write(as_path(path, "save"), tensors, {"format": "fastnn", "architecture": dumps(describe(model))})


def _header(tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, value in tensors.items():
        if value.dtype not in _CODES:
            raise TypeError(f"save: {name} has dtype {value.dtype} but float32, float64 or int64 was expected")
        end = offset + value.nbytes
        header[name] = {"dtype": _CODES[value.dtype], "shape": list(value.shape), "data_offsets": [offset, end]}
        offset = end
    from json import dumps  # on first use

    text = dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def write(path, tensors, metadata):
    """Write a safetensors file of arrays by name and texts by name; see ``save`` for how, and for what is raised."""
    target = os.path.realpath(os.fsdecode(path))  # a symbolic link stays and points to the new file
    mode = _mode_of_a_file(path, target)
    header = _header(tensors, metadata)
    temporary = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.tmp")
    try:
        with open(
            os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb"
        ) as file:  # 0o666: less the umask
            file.write(len(header).to_bytes(8, "little") + header)
            for value in tensors.values():
                file.write(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)  # all or nothing: a crash leaves the old file
        _sync_folder(os.path.dirname(target))
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def as_path(path, func):
    """Return a path as a string or bytes."""
    try:
        return os.fspath(path)
    except TypeError:
        raise TypeError(f"{func}: path is {path!r} but the name of a file was expected") from None


def require_folder(path, func):
    """Raise FileNotFoundError unless the folder is there that the file of a path would be in."""
    folder = os.path.dirname(os.path.realpath(os.fsdecode(path)))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{func}: {path}: the folder {folder} does not exist")


def _sync_folder(folder):
    """Let a new name in a folder outlast a power cut, on the systems that can; where one cannot, the file is no less whole."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        from errno import EINVAL, ENOTSUP  # on first use

        if error.errno not in (EINVAL, ENOTSUP):  # some network file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def _mode_of_a_file(path, target):
    """Return the mode of the file to replace, None where there is none; whatever is not a file is refused."""
    require_folder(path, "save")
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(f"save: {path} is a folder but the name of a file was expected")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"save: {path} is not a regular file")
    return stat.S_IMODE(status.st_mode)


# --------------------------------------------------------------------------------------------------------------- trainers

_OPTIONS = ("l1", "l2", "clip_norm", "clip_value", "groups", "accumulate", "ema", "max_norm")
_COUNTERS = ("steps_done", "lr_factor", "gathered_rows", "gathered_minibatches")
_TABLE = ("version", "model", "loss", "optimizer", "metrics", *_OPTIONS, "seed", "epochs_done", *_COUNTERS)
_HISTORY = f"{_TRAINER}history."


def _described(obj):
    """Return the description of an object, or the name of what in it is not fastnn's; None of None."""
    try:
        return None if obj is None else describe(obj)
    except _NotOurs as error:
        return {"own": error.name}


def _made(description, base, name):
    """Return what ``_described`` described, which must be of the class ``base``."""
    if isinstance(description, dict) and "own" in description:
        raise ValueError(f"the {name} holds {description['own']!r}, which is not fastnn's; pass {name}= again")
    made = construct(description)
    if not isinstance(made, base):
        raise TypeError(f"the {name} is described as {type(made).__name__}")
    return made


def _described_groups(groups):
    try:
        return {name: {key: _as_json(value) for key, value in options.items()} for name, options in groups.items()}
    except _NotOurs as error:
        raise TypeError(f"save: groups hold {error.name}, which is not fastnn's") from None


def _made_groups(described):
    if not isinstance(described, dict) or not all(isinstance(options, dict) for options in described.values()):
        raise TypeError(f"groups are {described!r:.60} but a table of tables was expected")
    return {name: {key: _from_json(value) for key, value in options.items()} for name, options in described.items()}


def _described_metrics(metrics):
    ours = {name for name, function in metrics.items() if name in METRICS and METRICS[name].function is function}
    return [name if name in ours else {"own": name} for name in metrics]


def _made_metrics(described):
    if not isinstance(described, list):
        raise TypeError(f"metrics are {described!r:.60} but a list was expected")
    for metric in described:
        if not isinstance(metric, str):
            name = metric.get("own") if isinstance(metric, dict) else metric
            raise ValueError(f"the metric {name!r:.60} is not fastnn's; pass metrics= again, all of them")
    return described


def _tensors_of(history):
    """Return a dict from name to array, of the values of all epochs."""
    tensors = {}
    for name, values in history.items():
        try:
            array = np.asarray(values)
        except ValueError:  # arrays of several shapes
            array = np.asarray(None)
        array = array.astype(np.int64) if array.dtype.kind in "biu" else array
        if array.dtype not in _CODES:
            raise TypeError(f"save: history[{name!r}] does not hold a number, or an array of one shape, for each epoch")
        tensors[_HISTORY + name] = array
    return tensors


def _history_of(tensors, seed):
    """Return the history whose values ``_tensors_of`` gave."""
    history = History(seed)
    for name, array in tensors.items():
        if array.ndim == 0:
            raise ValueError(f"{name} is one number but one for each epoch was expected")
        array = array.astype(array.dtype.newbyteorder("="))
        history[name.removeprefix(_HISTORY)] = array.tolist() if array.ndim == 1 else list(array)
    return history


def save_trainer(trainer, path):
    """Write a trainer that is between two steps; see ``Trainer.save``."""
    network = trainer._network("save")
    architecture = _described(trainer.model)
    table = {
        "version": _VERSION,
        "model": architecture.get("own"),
        "loss": _described(trainer.loss),
        "optimizer": _described(trainer.optimizer),
        "metrics": _described_metrics(trainer.metrics),
        **{name: getattr(trainer, name) for name in _OPTIONS},
        "groups": _described_groups(trainer.groups),
        "seed": trainer.seed,
        "epochs_done": trainer.epochs_done,
        **network.counters(),
    }
    tensors = dict(network.evaluated()._named_state())
    for kind, arrays in network.kept().items():
        tensors |= {f"{_TRAINER}{kind}.{name}": array for name, array in arrays.items()}
    from json import dumps  # on first use

    metadata = {"format": "fastnn", "trainer": dumps(table)}
    if table["model"] is None:
        metadata["architecture"] = dumps(architecture)
    write(as_path(path, "save"), tensors | _tensors_of(trainer.history), metadata)


def load_trainer(cls, path, model, loss, optimizer, metrics):
    """Return the trainer, of the class ``cls``, that a file holds; see ``Trainer.load``."""
    path = as_path(path, "Trainer.load")
    try:
        tensors, metadata = _read(path)
    except ValueError as error:
        text = f"not a safetensors file of float32, float64 or int64: {_line(error)}"
        raise ValueError(f"Trainer.load: {path}: {text}") from None
    if "trainer" not in metadata:
        raise ValueError(f"Trainer.load: {path}: the file holds no trainer; fastnn.load reads models")
    try:
        table = parse(metadata["trainer"])
        if not isinstance(table, dict):
            raise TypeError(f"the trainer is {type(table).__name__} but a table was expected")
        version = table.get("version")
        if type(version) is not int or version != _VERSION:
            later = " by a later fastnn" if type(version) is int and version > _VERSION else ""
            raise ValueError(
                f"the file is written{later} in version {version!r:.60}; this fastnn reads version {_VERSION}"
            )
        _require_keys(table, _TABLE, "the trainer")
        return _resumed(cls, table, tensors, metadata.get("architecture", "null"), model, loss, optimizer, metrics)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"Trainer.load: {path}: {_line(error)}") from None


def _counters_of(table):
    """Return what the network's ``counters`` told, each a number that it may be."""
    most = as_count(table["accumulate"], "trainer", "accumulate") - 1
    return {
        "steps_done": as_integer(table["steps_done"], "trainer", "steps_done", 0),
        "lr_factor": as_nonnegative(table["lr_factor"], "trainer", "lr_factor"),
        "gathered_rows": as_nonnegative(table["gathered_rows"], "trainer", "gathered_rows"),
        "gathered_minibatches": as_integer(table["gathered_minibatches"], "trainer", "gathered_minibatches", 0, most),
    }


def _resumed(cls, table, tensors, architecture, model, loss, optimizer, metrics):
    """Return the trainer of a file. Before its tensors fit the rest nothing is allocated, and a model that was given does not change."""
    fresh = model is None
    if fresh:
        own = table["model"]
        model = _made(parse(architecture) if own is None else {"own": own}, layers.Sequential, "model")
    if loss is None and table["loss"] is not None:
        loss = _made(table["loss"], Loss, "loss")
    optimizer = _made(table["optimizer"], Optimizer, "optimizer") if optimizer is None else optimizer
    metrics = _made_metrics(table["metrics"]) if metrics is None else metrics
    options = {name: table[name] for name in _OPTIONS} | {"groups": _made_groups(table["groups"])}
    seed = as_integer(table["seed"], "trainer", "seed", 0, 2**64 - 1)
    epochs_done = as_integer(table["epochs_done"], "trainer", "epochs_done", 0)
    counters = _counters_of(table)
    history = _history_of({name: value for name, value in tensors.items() if name.startswith(_HISTORY)}, seed)
    kinds = [f"slots.{slot}" for slot in optimizer.slots]
    kinds += ["gathered"] if counters["gathered_minibatches"] else []
    kinds += ["parameters"] if options["ema"] is not None and counters["steps_done"] else []
    state, parameters = dict(model._named_state()), dict(model.named_parameters())
    named = {kind: {name: f"{_TRAINER}{kind}.{name}" for name in parameters} for kind in kinds}
    expected = {key: parameters[name] for names in named.values() for name, key in names.items()}
    _require_tensors({n: value for n, value in tensors.items() if not n.startswith(_HISTORY)}, state | expected)
    kept = {kind: {name: tensors[key] for name, key in names.items()} for kind, names in named.items()}
    trained = {name: tensors[name] for name in state} | kept.get("parameters", {})
    if fresh:
        model.load_state_dict(trained)
    trainer = cls(model, loss, optimizer, metrics=metrics, seed=seed, **options)
    if not fresh:
        trainer.model.load_state_dict(trained)
    trainer._network("load").resume(kept, {name: tensors[name] for name in parameters}, **counters)
    trainer.epochs_done, trainer.history = epochs_done, history
    return trainer


def _require_tensors(tensors, expected):
    """Raise ValueError unless the tensors have the names, shapes and dtypes of the expected arrays."""
    missing, extra = [n for n in expected if n not in tensors], [n for n in tensors if n not in expected]
    if missing or extra:
        raise ValueError(f"missing {missing or 'nothing'}, unexpected {extra or 'nothing'} among the tensors")
    for name, array in expected.items():
        found = tensors[name]
        if found.shape != array.shape or found.dtype.newbyteorder("=") != array.dtype:
            raise ValueError(f"{name} is {found.dtype} {found.shape} but {array.dtype} {array.shape} was expected")
