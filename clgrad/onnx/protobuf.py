"""ONNX's messages, and what they are in clgrad: tensors, dtypes, files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.onnx.errors import OnnxError
from clgrad.ops import copying
from clgrad.optional import library
from clgrad.tensor import Tensor

# TensorProto.DataType, by its numbers: what a file says is the same in every version of ONNX.
_ELEMENTS = {1: dtypes.float32, 2: dtypes.uint8, 3: dtypes.int8, 5: dtypes.int16, 6: dtypes.int32, 7: dtypes.int64,
             9: dtypes.bool, 10: dtypes.float16, 11: dtypes.float64, 16: dtypes.bfloat16}
_NUMBERS = {kind: number for number, kind in _ELEMENTS.items()}
_BFLOAT16 = 16


def onnx(module: str = "") -> Any:
    """The package ``onnx``, or a module of it; ImportError with what to install where it is missing."""
    return library(f"onnx.{module}" if module else "onnx", "onnx", "reading and writing ONNX files")


def dtype_of(number: int) -> Any:
    """The dtype that an element type of ONNX's is here.

    Raises:
        OnnxError: clgrad has no such dtype.
    """
    if number in _ELEMENTS:
        return _ELEMENTS[number]
    names = {value: name for name, value in onnx().TensorProto.DataType.items()}
    raise OnnxError(f"clgrad has no dtype for ONNX's element type {names.get(number, number)}")


def number_of(kind: Any) -> int:
    """The element type of ONNX's for a dtype."""
    return _NUMBERS[kind]


def to_tensor(message: Any, device: Any = None) -> Tensor:
    """A TensorProto's values.

    Raises:
        OnnxError: the element type is one that clgrad lacks.
    """
    kind = dtype_of(message.data_type)
    if message.data_type == _BFLOAT16:
        bits = onnx("numpy_helper").to_array(message).view(np.int16).copy()
        return tensor(bits, device=device).view(dtypes.bfloat16)
    return tensor(np.array(onnx("numpy_helper").to_array(message)), dtype=kind, device=device)


def from_tensor(value: Tensor, name: str) -> Any:
    """A tensor as a TensorProto."""
    dims = tuple(value.shape)
    data = np.ascontiguousarray(copying.to_array(value.detach())).reshape(dims)
    message = onnx().TensorProto()
    message.name, message.data_type = name, number_of(value.dtype)
    message.dims.extend(dims)
    message.raw_data = data.tobytes()
    return message


def read_model(f: Any) -> Any:
    """The ModelProto in a file, its bytes, or as it is, with its external data loaded.

    Raises:
        OnnxError: this is no ONNX model, or a file with its weights is missing.
        FileNotFoundError: there is no such file.
        TypeError: ``f`` is nothing of these.
    """
    package = onnx()
    if isinstance(f, package.ModelProto):
        return f
    folder = ""
    if isinstance(f, (str, os.PathLike)):
        folder = os.path.dirname(os.path.abspath(f))
        with open(f, "rb") as file:
            data = file.read()
    elif hasattr(f, "read"):
        data = f.read()
    elif isinstance(f, (bytes, bytearray, memoryview)):
        data = bytes(f)
    else:
        raise TypeError(f"load: f is a path, a file, bytes or an onnx.ModelProto, not {type(f).__name__}")
    model = package.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:  # protobuf's own classes differ between its versions
        raise OnnxError(f"this is not an ONNX model, or it is damaged: {error}") from error
    if not model.HasField("graph") or not model.opset_import:
        raise OnnxError("this is not an ONNX model: it has no graph or no operator set")
    if _has_external_data(model):
        _load_external_data(model, folder)
    return model


def _has_external_data(model: Any) -> bool:
    return any(t.data_location == onnx().TensorProto.EXTERNAL for t in model.graph.initializer)


def _load_external_data(model: Any, folder: str) -> None:
    outside = onnx("external_data_helper")
    for message in model.graph.initializer:
        if message.data_location != onnx().TensorProto.EXTERNAL:
            continue
        where = {entry.key: entry.value for entry in message.external_data}.get("location", "")
        if not folder:
            raise OnnxError(f"initializer '{message.name}' lies in the file '{where}': load the model from its path, so "
                            "that the file is found beside it")
        try:
            outside.load_external_data_for_tensor(message, folder)
        except Exception as error:
            raise OnnxError(f"initializer '{message.name}' lies in the file '{where}', which cannot be read: "
                            f"{error}") from error
        message.data_location = onnx().TensorProto.DEFAULT
        del message.external_data[:]
