"""Where results go: ``out=``, in-place forms of compositions, results with names."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import TensorBase, ends_in, needs_graph
from clgrad.ops.registry import METHODS, publish
from clgrad.shapes import Shape, is_dense

NAMED_RESULTS: dict[str, Any] = {}  # the classes that named_result made


def store(name: str, result: Any, out: Any, *inputs: Any, exact: bool = False, row_major: bool = False) -> Any:
    """``out=`` of a composition: where ``out`` is None the result itself, else ``out``, resized like the result and filled.

    A tuple of results takes a tuple of tensors. ``inputs`` must not share memory with ``out``; with ``exact`` its dtype
    has to be the result's. What is resized lies in memory as the result does, unless ``row_major``.
    """
    if out is None:
        return result
    if isinstance(result, tuple):
        if not isinstance(out, (tuple, list)) or len(out) != len(result):
            raise TypeError(f"{name}(): argument 'out' must be tuple of {len(result)} Tensors")
        stored = [store(name, one, target, *inputs, exact=exact, row_major=row_major)
                  for one, target in zip(result, out, strict=True)]
        return type(result)(*stored) if hasattr(result, "_fields") else tuple(stored)
    own, target = result.spec, out.spec
    if mode.enabled and (result._requires_grad or out._requires_grad):
        raise RuntimeError(f"{name}(): functions with out=... arguments don't support automatic differentiation, but "
                           "one of the arguments requires grad.")
    check_place(own.device, out)
    if exact:
        check_exact(name, own.dtype, out)
    check_cast(name, own.dtype, target.dtype)
    check_apart(name, out, *inputs)
    if target.shape != own.shape:
        resize_output(out, own.shape, own.strides if is_dense(own.shape, own.strides) and not row_major else None)
        check_apart(name, out, *inputs)
    return out.copy_(result)


def resize_output(out: Any, shape: Shape, strides: Shape | None = None) -> None:
    """Gives a tensor that is to hold a result the result's shape and strides; a warning where it had elements."""
    if out.spec.numel:
        warnings.warn(f"An output with one or more elements was resized since it had shape {list(out.spec.shape)}, which "
                      f"does not match the required output shape {list(shape)}. This behavior is deprecated, and in a future "
                      "PyTorch release outputs will not be resized unless they have zero elements. Reuse an out tensor by "
                      "resizing it to zero elements first, with out.resize_(0).", stacklevel=4)
    out.resize_(shape)
    if strides is not None:
        out.as_strided_(shape, strides)


def check_place(device: Any, out: Any) -> None:
    """RuntimeError where a tensor that is to hold a result is on another device than the result."""
    if out.spec.device is not device:
        raise RuntimeError(f"Attempting to copy from device {device} to device {out.spec.device}, but cross-device copies "
                           "are not allowed!")


def check_apart(name: str, out: Any, *inputs: Any) -> None:
    """RuntimeError where a tensor that is to be written repeats elements, or shares memory with an input."""
    if out.spec.repeats:
        raise RuntimeError(f"{name}(): unsupported operation: more than one element of the written-to tensor refers to a "
                           "single memory location. Please clone() the tensor before performing the operation.")
    check_disjoint(name, out, *inputs)


def check_disjoint(name: str, out: Any, *inputs: Any) -> None:
    """RuntimeError where a tensor that is to be written shares memory with an input."""
    own = out.spec
    begin, end = (out.offset + at for at in (0, own.extent))
    for x in inputs:
        if x.memory is out.memory and own.numel and x.spec.numel and (
                x.offset * x.spec.dtype.itemsize < end * own.dtype.itemsize
                and begin * own.dtype.itemsize < (x.offset + x.spec.extent) * x.spec.dtype.itemsize):
            raise RuntimeError(f"{name}(): unsupported operation: some elements of the input tensor and the written-to "
                               "tensor refer to a single memory location. Please clone() the tensor before performing the "
                               "operation.")


def check_exact(name: str, result: dtypes.dtype, out: Any) -> None:
    """RuntimeError where the tensor that is to hold a result is of another dtype."""
    if out.spec.dtype is not result:
        raise RuntimeError(f"{name}(): Expected out tensor to have dtype {dtypes.c_name(result)}, but got "
                           f"{dtypes.c_name(out.spec.dtype)} instead")


# Operators on matrices that tell of a dtype in words of their own.
_OF_MATRICES = frozenset({"cholesky", "cholesky_inverse", "cholesky_solve", "linalg.cond", "linalg.householder_product",
                          "linalg.matrix_rank", "linalg.pinv", "linalg.tensorinv", "linalg.tensorsolve"})


def check_cast(name: str, result: dtypes.dtype, target: dtypes.dtype) -> None:
    """RuntimeError where a result's dtype is of a higher category than that of the tensor that is to hold it."""
    if not dtypes.can_cast(result, target):
        given, wanted = dtypes.type_name(result), dtypes.type_name(target)
        if name in _OF_MATRICES:
            raise RuntimeError(f"{name}: Expected result to be safely castable from {given} dtype, but got result with dtype "
                               f"{wanted}")
        raise RuntimeError(f"{name}: result type {given} can't be cast to the desired output type {wanted}")


def add_in_place(*names: str, function: bool = False) -> None:
    """Gives compositions their in-place methods: ``x.name_(...)`` becomes ``x.copy_(name(x, ...))``.

    ``function``: there is a function of that name, too.
    """
    for name in names:
        publish(in_place_form(name, METHODS[name]), f"{name}_", function=function)


def in_place_form(name: str, function: Callable) -> Callable:
    """The in-place form of a composition."""
    def form(input: Any, *args: Any, **kwargs: Any) -> Any:
        # What the function saves for its gradient must not change under it.
        recorded = needs_graph(*[t for t in (input, *args, *kwargs.values()) if isinstance(t, TensorBase)])
        result = function(input.clone() if recorded else input, *args, **kwargs)
        check_cast(name, result.spec.dtype, input.spec.dtype)
        if result.spec.shape != input.spec.shape:
            raise RuntimeError(f"{name}_: output with shape {list(input.spec.shape)} doesn't match the broadcast shape "
                               f"{list(result.spec.shape)}")
        changed = input.copy_(result)
        return changed if result._grad_fn is None or input._view is not None else ends_in(changed, result._grad_fn.name())
    form.__name__ = form.__qualname__ = f"{name}_"
    form.__doc__ = f":func:`{name}` in place."
    return form


def named_result(name: str, fields: str) -> Any:
    """The class of a result with names, such as ``linalg_svd`` with ``U S Vh``."""
    made = NamedTuple(name, [(field, Any) for field in fields.split()])  # type: ignore[misc]
    made.__doc__ = f"The results of :func:`{name.replace('linalg_', 'linalg.')}`, a tuple with names."

    def text(self: Any) -> str:
        return f"torch.return_types.{name}(\n" + ",\n".join(
            f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True)) + ")"
    made.__repr__ = text  # type: ignore[method-assign,assignment]
    NAMED_RESULTS[name] = made
    return made
