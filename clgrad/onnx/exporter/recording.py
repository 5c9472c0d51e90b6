"""What a model calls when it runs: a list of operators' calls, whose tensors are numbered values.

The model runs once under a mode that hears of every call of a public operator. A call for which there is a translation is
written down; into one for which there is none the recorder looks, down to the calls that it consists of.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Container, Mapping
from typing import Any, NamedTuple

import numpy as np

from clgrad.autograd.listening import without_overrides
from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.ops.registry import FUNCTIONS, REGISTRY
from clgrad.overrides import TorchFunctionMode
from clgrad.tensor import Tensor

# Questions about a tensor whose answers are no tensors.
_QUESTIONS = frozenset({
    "size", "dim", "numel", "nelement", "ndimension", "__len__", "stride", "storage_offset", "is_contiguous",
    "is_floating_point", "is_complex", "element_size", "data_ptr", "get_device", "is_tensor", "requires_grad_", "is_signed",
    "is_same_size", "result_type", "__repr__", "__hash__", "__dir__", "is_conj", "is_neg", "retain_grad", "register_hook"})
# Questions about values: the answer becomes part of the graph, as a constant.
_LOOKS = frozenset({"item", "tolist", "numpy", "__float__", "__int__", "__bool__", "__index__", "__array__", "equal",
                    "allclose", "is_nonzero"})


class Reference(NamedTuple):
    """A tensor among a call's arguments or results, by its number."""

    number: int


class Call(NamedTuple):
    """A call: the operator's name, arguments and results, with references for tensors."""

    name: str
    args: tuple
    kwargs: dict[str, Any]
    results: Any


class Recorded:
    """A tensor that was met: its shape and dtype, and, until it changes, the tensor itself.

    ``depends`` says whether it was made from the model's inputs, or at least by a recorded call.
    """

    __slots__ = ("shape", "dtype", "depends", "value", "tensor", "getitem", "snapshot")

    def __init__(self, tensor: Tensor, depends: bool):
        self.shape, self.dtype, self.depends = tuple(tensor.shape), tensor.dtype, depends
        self.tensor = tensor  # kept, so that its id is not given to another one
        self.value = tensor
        self.snapshot: Any = None  # a copy, while an operator is looked into
        self.getitem: Any = None  # (id of the base, index) of a view by basic indexing


class Recorder(TorchFunctionMode):
    """Records calls.

    Args:
        translated: the names of the operators that are written down.
    """

    def __init__(self, translated: Container[str]):
        super().__init__()
        self.translated = translated
        self.calls: list[Call] = []
        self.values: list[Recorded] = []
        self._numbers: dict[int, int] = {}  # by the id of a tensor, its current number
        self._warned: set[str] = set()
        self._inside: list[str] = []  # the operators that are looked into

    # Values.

    def knows(self, tensor: Tensor) -> bool:
        """Whether the tensor was met."""
        return id(tensor) in self._numbers

    def number(self, tensor: Tensor, depends: bool = False) -> int:
        """The number of a tensor; one that was not met before is a constant.

        Raises:
            UnsupportedOperatorError: it was changed by an operator that is not recorded.
        """
        found = self._numbers.get(id(tensor))
        if found is None:
            return self._new(tensor, depends)
        snapshot = self.values[found].snapshot
        if snapshot is not None and not bool(((tensor == snapshot) | ((tensor != tensor) & (snapshot != snapshot))).all()):
            raise UnsupportedOperatorError(f"export: there is no translation to ONNX for the operator {self._inside[-1]}")
        return found

    def _new(self, tensor: Tensor, depends: bool) -> int:
        self.values.append(Recorded(tensor, depends))
        if self._inside and depends:  # an operator may write to what it made, without a call
            self.values[-1].snapshot = tensor.detach().clone()
        self._numbers[id(tensor)] = len(self.values) - 1
        return len(self.values) - 1

    def references(self, tree: Any) -> Any:
        """Containers of tensors with references in their place."""
        if isinstance(tree, Tensor):
            return Reference(self.number(tree))
        if isinstance(tree, slice):
            return slice(*(self.references(part) for part in (tree.start, tree.stop, tree.step)))
        if isinstance(tree, tuple):
            return tuple([self.references(item) for item in tree])
        if isinstance(tree, list):
            return [self.references(item) for item in tree]
        if isinstance(tree, Mapping):
            return {key: self.references(item) for key, item in tree.items()}
        return tree

    def _depends(self, tree: Any) -> bool:
        return any(t.depends for t in (self.values[self._numbers[id(x)]] for x in tensors_in(tree) if id(x) in self._numbers))

    # Calls.

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = name_of(func)
        if name in _LOOKS and self._depends((args, kwargs)):
            self._warn(name)
        if name in _QUESTIONS or name in _LOOKS or name.endswith("__get__") and name not in self.translated:
            return func(*args, **kwargs)
        if name == "__setitem__":
            return self._write("__setitem__", args[0], args, kwargs, func)
        plain = name[:-1] if name.endswith("_") and not name.endswith("__") else None
        if plain is not None and plain in self.translated and isinstance(args[0], Tensor):
            return self._write(plain, args[0], args, kwargs, func)
        if name in self.translated and kwargs.get("out") is None:
            inplace = kwargs.get("inplace") or _inplace(func, args)
            if inplace:
                return self._write(name, args[0], args, kwargs, func)
            return self._record(name, func, args, kwargs)
        return self._look_inside(name, func, args, kwargs)

    def _warn(self, name: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            warnings.warn(f"the model asks for a tensor's value ({name.strip('_')}): the graph will hold what came of it for "
                          "these inputs as a constant", stacklevel=4)

    def _record(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        given, named = self.references(args), self.references(kwargs)
        depends = self._depends((args, kwargs))
        result = func(*args, **kwargs)
        known = {id(t) for t in tensors_in((args, kwargs))}
        for tensor in tensors_in(result):
            if id(tensor) not in known:  # what returns its argument (``contiguous``) changes nothing
                self._new(tensor, depends)
        if isinstance(result, Tensor) and id(result) in known:
            return result
        self.calls.append(Call(name, given, named, self.references(result)))
        if name == "__getitem__" and isinstance(result, Tensor) and is_basic(args[1]):
            self.values[self.number(result)].getitem = (id(args[0]), args[1])
        return result

    def _write(self, name: str, target: Tensor, args: tuple, kwargs: dict, func: Callable) -> Any:
        """A call that changes its first argument: the tensor gets a new number, and so do those that share its memory."""
        given, named = self.references(args), self.references(kwargs)
        depends = self._depends((args, kwargs))
        sharing = self._sharing(target)
        for tensor in (target, *sharing):
            old = self.values[self._numbers[id(tensor)]]
            if not old.depends:
                old.value = old.value.detach().clone()
        result = func(*args, **kwargs)
        before = self._numbers[id(target)]
        after = self._new(target, depends or self.values[before].depends)
        self.calls.append(Call(name, given, named, Reference(after)))
        for tensor in sharing:
            self._follow(tensor, target, before, after)
        return result

    def _sharing(self, target: Tensor) -> list[Tensor]:
        """Other tensors that were met and have their elements in the same memory."""
        found = {id(v.tensor): v.tensor for v in self.values if v.tensor.memory is target.memory}
        return [t for t in found.values() if t is not target]

    def _follow(self, tensor: Tensor, target: Tensor, before: int, after: int) -> None:
        """The new value of a tensor that shares memory with one that was changed."""
        old = self._numbers[id(tensor)]
        view, own = self.values[before].getitem, self.values[old].getitem
        mine, written = positions(tensor), positions(target)
        if mine.size == written.size and np.array_equal(mine.ravel(), written.ravel()):
            call = Call("reshape", (Reference(after), tuple(tensor.shape)), {}, None)
        elif own is not None and own[0] == id(target):
            call = Call("__getitem__", (Reference(after), own[1]), {}, None)
        elif view is not None and view[0] == id(tensor):
            call = Call("__setitem__", (Reference(old), view[1], Reference(after)), {}, None)
        else:
            place = np.full(max(mine.max(initial=0), written.max(initial=0)) + 1, -1)
            place[written.ravel()] = np.arange(written.size)
            if (place[mine] < 0).all():
                return
            call = Call("_overlaid", (Reference(old), Reference(after), place[mine]), {}, None)
        new = self._new(tensor, True)
        self.values[new].getitem = self.values[old].getitem
        self.calls.append(call._replace(results=Reference(new)))

    def _look_inside(self, name: str, func: Callable, args: tuple, kwargs: dict) -> Any:
        """Records the calls that an operator without a translation consists of.

        Raises:
            UnsupportedOperatorError: its result depends on the inputs, but not by calls that were recorded.
        """
        count = len(self.values)
        self._inside.append(name)
        try:
            with self:
                result = _consisting_of(name, func, args)(*args, **kwargs)
            self._check_results(name, args, kwargs, result, count)
        finally:
            self._inside.pop()
            if not self._inside:
                for value in self.values[count:]:
                    value.snapshot = None
        return result

    def _check_results(self, name: str, args: tuple, kwargs: dict, result: Any, count: int) -> None:
        if self._depends((args, kwargs)):
            for tensor in tensors_in(result):
                known = self.knows(tensor)
                found = self.number(tensor)
                if not known or (found >= count and not self.values[found].depends):
                    raise UnsupportedOperatorError(f"export: there is no translation to ONNX for the operator {name}")


def _consisting_of(name: str, func: Callable, args: tuple) -> Callable:
    """A function that does what an operator does, and in doing so calls the operators that it consists of.

    That is the operator's own function, without the form that tells of its calls; of a pointwise operator its formula.
    """
    row = REGISTRY.pointwise.get(name)
    if row is not None and name not in row.value.functions and len(args) >= len(row.tensors):
        names = [*row.tensors, *row.parameters]

        def by_formula(*args: Any, **kwargs: Any) -> Any:
            return row.value.evaluate(FUNCTIONS, {**row.parameters, **dict(zip(names, args, strict=False)), **kwargs})
        return by_formula
    found = getattr(getattr(func, "told", func), "__wrapped__", None)
    if found is not None:
        return found

    def as_it_is(*args: Any, **kwargs: Any) -> Any:
        with without_overrides():
            return func(*args, **kwargs)
    return as_it_is


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in nested containers, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, Mapping):
        return [t for item in tree.values() for t in tensors_in(item)]
    if isinstance(tree, (tuple, list)):
        return [t for item in tree for t in tensors_in(item)]
    return []


def is_basic(index: Any) -> bool:
    """Whether an index consists of numbers, slices, None and an ellipsis only."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, (int, slice)) and not isinstance(part, bool)
               for part in parts)


def positions(tensor: Tensor) -> np.ndarray:
    """Where in their memory the elements of a tensor lie."""
    found = np.full(tuple(tensor.shape), tensor.storage_offset(), np.int64)
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.stride(), strict=True)):
        found += (np.arange(size) * stride).reshape([-1 if at == axis else 1 for at in range(tensor.dim())])
    return found


def name_of(func: Callable) -> str:
    """An operator's name; of a property ``T.__get__``."""
    if func.__name__ != "__get__":
        return func.__name__
    return f"{func.__self__.fget.operator_name}.__get__"  # type: ignore[attr-defined]


# Activations whose last argument, given by position, says that they work in place, and where it stands.
_INPLACE_AT = {"relu": 1, "relu6": 1, "hardswish": 1, "hardsigmoid": 1, "silu": 1, "mish": 1, "selu": 1, "elu": 2, "celu": 2,
               "leaky_relu": 2, "hardtanh": 3, "threshold": 3, "dropout": 3, "dropout1d": 3, "dropout2d": 3, "dropout3d": 3,
               "alpha_dropout": 3, "feature_alpha_dropout": 3, "rrelu": 4}


def _inplace(func: Callable, args: tuple) -> bool:
    at = _INPLACE_AT.get(func.__name__)
    return at is not None and len(args) > at and args[at] is True
