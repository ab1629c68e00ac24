"""Models in safetensors files: tensors by PyTorch's names, the architecture as JSON in the metadata. No code is ever loaded.

The format (an 8-byte little-endian length, a JSON header with dtype, shape and offsets of each tensor, the raw data) is described
at https://github.com/huggingface/safetensors.
"""

import json
import os

import numpy as np

from fastnn import layers

_DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_MAX_HEADER = 100_000_000  # bytes, the limit of the format


def _describe(layer):
    if isinstance(layer, layers.Sequential):
        return {"class": "Sequential", "task": layer.task, "layers": [_describe(inner) for inner in layer.layers]}
    name = type(layer).__name__
    if getattr(layers, name, None) is not type(layer):
        raise TypeError(f"save: {name} is no layer of fastnn; its state_dict() can be saved by other means")
    return {"class": name, "config": layer.config}


def _construct(description):
    name = description["class"]
    if name == "Sequential":
        model = layers.Sequential(*[_construct(inner) for inner in description["layers"]])
        model.task = description["task"]
        return model
    if name not in layers.__all__ or name in ("Layer", "MLP"):
        raise ValueError(f"layer {name!r} is unknown")
    return getattr(layers, name)(**description["config"])


def _write(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, value in tensors.items():
        end = offset + value.nbytes
        header[name] = {"dtype": _CODES[value.dtype], "shape": list(value.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for value in tensors.values():
                file.write(np.ascontiguousarray(value).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # all or nothing: a crash leaves the old file
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _read(path):
    """Return the tensors and the metadata; every length and offset is checked before use."""
    with open(path, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or not 2 <= length <= min(len(data) - 8, _MAX_HEADER):
            raise ValueError("the header's length does not fit the file")
        header = json.loads(data[8 : 8 + length])
        metadata = header.pop("__metadata__", {})
        body = memoryview(data)[8 + length :]
        return {name: _tensor(entry, body) for name, entry in header.items()}, metadata
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"load: {path}: not a safetensors file of float32 or float64: {error}") from None


def _tensor(entry, body):
    dtype, shape, (start, end) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
    count = 1
    for size in shape:
        if not isinstance(size, int) or size < 0:
            raise ValueError(f"shape {shape} is impossible")
        count *= size
    if not 0 <= start <= end <= len(body) or end - start != count * dtype.itemsize:
        raise ValueError(f"a tensor of shape {shape} does not fit its bytes {start} to {end}")
    return np.frombuffer(body[start:end], dtype).reshape(shape).astype(dtype.newbyteorder("="))


def save(model, path):
    """Write a model to a safetensors file; an existing file is replaced only once the new one is complete.

    Parameters
    ----------
    model : Layer
        Made of fastnn's own layers.
    path : str or path-like

    Raises
    ------
    TypeError
        For a model with layers that are not fastnn's.
    """
    tensors = {name: np.asarray(value) for name, value in model.named_parameters()}
    _write(path, tensors, {"format": "fastnn", "architecture": json.dumps(_describe(model))})


def load(path):
    """Read a model that ``save`` wrote.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    Layer
        An MLP comes back as the Sequential it is.

    Raises
    ------
    ValueError
        For a file that is not a safetensors file with a fastnn architecture, or does not fit it.
    """
    tensors, metadata = _read(path)
    if "architecture" not in metadata:
        raise ValueError(f"load: {path}: the file has tensors but no fastnn architecture; use load_state_dict")
    try:
        model = _construct(json.loads(metadata["architecture"]))
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"load: {path}: the architecture in the file is not fastnn's, or does not fit: {error}"
        ) from None
    return model
