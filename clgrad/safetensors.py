"""Files in the safetensors format, and NumPy's ``.npz``: names and tensors, nothing else.

A safetensors file is the length of its header (8 bytes), the header (JSON: for each name dtype, shape and where its bytes
begin and end), and the bytes. Nothing of it is ever run.

>>> import clgrad, os, tempfile
>>> from clgrad import safetensors
>>> path = os.path.join(tempfile.mkdtemp(), "weights.npz")
>>> safetensors.save_npz({"w": clgrad.ones(2)}, path)
>>> safetensors.load_npz(path)
{'w': tensor([1., 1.])}
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.archives import read_record
from clgrad.ops import copying
from clgrad.runtime import device as Device
from clgrad.runtime import host_copy
from clgrad.tensor import Tensor

# The format's names of dtypes.
_DTYPES = {"F64": dtypes.float64, "F32": dtypes.float32, "F16": dtypes.float16, "BF16": dtypes.bfloat16,
           "I64": dtypes.int64, "I32": dtypes.int32, "I16": dtypes.int16, "I8": dtypes.int8, "U8": dtypes.uint8,
           "U16": dtypes.uint16, "U32": dtypes.uint32, "U64": dtypes.uint64,
           "BOOL": dtypes.bool, "C64": dtypes.complex64}
_NAMES = {kind: name for name, kind in _DTYPES.items()}
MAX_HEADER = 100_000_000


class SafetensorError(RuntimeError):
    """A file that is damaged, or not of this format."""


def _checked(tensors: Any) -> Mapping[str, Any]:
    if not isinstance(tensors, Mapping):
        raise ValueError(f"Expected a dict of [str, torch.Tensor] but received {type(tensors)}")
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"Key `{name}` is invalid, expected torch.Tensor but received {type(value)}")
    shared: dict[tuple, str] = {}
    for name, value in tensors.items():
        key = (id(value.memory), value.offset) if value.numel() else (name,)
        if key in shared:
            raise RuntimeError(f"Some tensors share memory, this will lead to duplicate memory on disk and potential "
                               f"differences when loading them again: {shared[key]}, {name}. Save one of them")
        shared[key] = name
    return tensors


def _values(value: Any) -> np.ndarray:
    return np.ascontiguousarray(copying.to_array(value.detach())).reshape(tuple(value.shape))


def save(tensors: Mapping[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    """The bytes of a file with these tensors.

    Raises:
        ValueError: something is not a tensor, or of a dtype that the format lacks.
        RuntimeError: two of them share memory.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, at = [], 0
    # The largest elements first, so that each tensor begins at a multiple of its element's size.
    for name, value in sorted(_checked(tensors).items(), key=lambda item: (-item[1].itemsize, item[0])):
        if value.dtype not in _NAMES:
            raise ValueError(f"safetensors: `{name}` is {value.dtype}, which the format does not have")
        data = _values(value).tobytes()
        header[name] = {"dtype": _NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def save_file(tensors: Mapping[str, Any], filename: str | os.PathLike, metadata: dict[str, str] | None = None) -> None:
    """Writes tensors to a file; an interrupted call leaves the old one."""
    data = save(tensors, metadata)
    partial = f"{os.fspath(filename)}.part"
    with open(partial, "wb") as file:
        file.write(data)
    os.replace(partial, filename)


def load(data: bytes, device: Any = "cpu") -> dict[str, Any]:
    """The tensors of a file's bytes.

    Raises:
        SafetensorError: the data is damaged, or a tensor is of a dtype that clgrad lacks.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= size <= min(MAX_HEADER, len(data) - 8):
        raise SafetensorError(f"safetensors: a header of {size} bytes in a file of {len(data)}: it is damaged")
    try:
        header = json.loads(data[8:8 + size].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SafetensorError(f"safetensors: the header is damaged: {error}") from error
    if not isinstance(header, dict):
        raise SafetensorError("safetensors: the header is damaged: it is no dict")
    header.pop("__metadata__", None)
    body = memoryview(data)[8 + size:]
    return {name: _tensor(name, entry, body, device) for name, entry in header.items()}


def _tensor(name: str, entry: Any, body: memoryview, device: Any) -> Any:
    try:
        written, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise SafetensorError(f"safetensors: the header's entry of {name} is damaged") from error
    kind: Any = _DTYPES.get(written)
    if kind is None:
        raise SafetensorError(f"safetensors: {name} is of dtype {written}, which clgrad does not have")
    whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    if not whole or not begin <= end <= len(body) or end - begin != math.prod(shape) * kind.itemsize:
        raise SafetensorError(f"safetensors: {name} of shape {list(shape)} does not fit its bytes {begin} to {end}")
    values = host_copy(np.frombuffer(body[begin:end], np.uint8)).view(kind.numpy).reshape(shape)
    return copying.from_array(values, kind, Device("cpu")).to(device)


def load_file(filename: str | os.PathLike, device: Any = "cpu") -> dict[str, Any]:
    """The tensors of a file."""
    with open(filename, "rb") as file:
        return load(file.read(), device)


def save_model(model: Any, filename: str | os.PathLike, metadata: dict[str, str] | None = None,
               force_contiguous: bool = True) -> None:
    """Writes a module's state; of tensors that share memory the first is written."""
    kept: dict[tuple, tuple[str, Any]] = {}
    for name, value in model.state_dict().items():
        kept.setdefault((id(value.memory), value.offset) if value.numel() else (name,), (name, value))
    save_file(dict(kept.values()), filename, metadata)


def load_model(model: Any, filename: str | os.PathLike, strict: bool = True, device: Any = "cpu") -> tuple[list, list]:
    """Puts a file's tensors into a module; returns the names that are missing and those that are too many."""
    state = load_file(filename, device)
    own = model.state_dict()
    places = {(id(own[name].memory), own[name].offset) for name in state if name in own}
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if (id(own[name].memory), own[name].offset) not in places]
    if strict and (missing or unexpected):
        raise RuntimeError(f"Error(s) in loading state_dict for {type(model).__name__}: missing {missing}, unexpected "
                           f"{list(unexpected)}")
    return missing, list(unexpected)


def save_npz(tensors: Mapping[str, Any], filename: str | os.PathLike, compressed: bool = False) -> None:
    """Writes tensors as NumPy's ``.npz``; bfloat16, which NumPy lacks, as float32."""
    arrays: dict[str, Any] = {name: _values(value.float() if value.dtype is dtypes.bfloat16 else value)
                              for name, value in tensors.items()}
    with open(filename, "wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


def load_npz(filename: str | os.PathLike, device: Any = "cpu") -> dict[str, Any]:
    """The arrays of NumPy's ``.npz`` as tensors.

    Raises:
        ValueError: an array holds Python objects, or is of a dtype that clgrad lacks.
        RuntimeError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(filename) as archive:
            arrays = {name.removesuffix(".npy"): _array(read_record(archive, name)) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, NotImplementedError, SyntaxError, TypeError,
            UnicodeError, OverflowError, RuntimeError, struct.error) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise RuntimeError(f"{os.fspath(filename)} is damaged: {error}") from error
    return {name: copying.from_array(array, dtypes.from_numpy(array.dtype), Device("cpu")).to(device)
            for name, array in arrays.items()}


def _array(data: bytes) -> np.ndarray:
    """The array of an ``.npy`` file, of which the header is not believed before the bytes are there."""
    stream = io.BytesIO(data)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise RuntimeError(f"version {version} of its format")
    shape, by_columns, kind = readers[version](stream)
    if kind.hasobject:
        raise ValueError("it holds Python objects, which only numpy.load(allow_pickle=True) reads, and runs their code")
    values = stream.read()
    if any(n < 0 for n in shape) or math.prod(shape) * kind.itemsize != len(values):
        raise RuntimeError(f"an array of shape {shape} and dtype {kind} in {len(values)} bytes")
    array = np.frombuffer(bytearray(values), kind)
    return np.ascontiguousarray(array.reshape(shape, order="F" if by_columns else "C"))
