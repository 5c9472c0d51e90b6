"""``Proxy``: stands for a value while a program is traced, and records what is done with it."""

from __future__ import annotations

import dis
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any

from clgrad.fx.codegen import BINARY, COMPARISONS, UNARY
from clgrad.fx.node import Node, map_aggregate

__all__ = ["Attribute", "Proxy", "TraceError"]


class TraceError(ValueError):
    """The program does something that depends on values, which are not known while it is traced."""


class Proxy:
    """A value of the program that is traced: operators on it become nodes, made by its ``tracer``."""

    def __init__(self, node: Node, tracer: Any):
        self.node, self.tracer = node, tracer

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, name: str) -> Attribute:
        if name in ("node", "tracer") or name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # it is being copied
        return Attribute(self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator[Any]:
        count = _unpacked(inspect.currentframe().f_back)  # type: ignore[union-attr]
        return iter([operator.getitem(self, n) for n in range(count)]) if count is not None else self.tracer.iter(self)

    def __bool__(self) -> bool:
        return self.tracer.to_bool(self)

    def __abs__(self) -> Any:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __index__(self) -> int:
        raise TraceError(f"the value of {self.node.name} is not known while the program is traced, and cannot be an index")

    def __len__(self) -> int:
        raise RuntimeError("'len' is not supported in symbolic tracing by default. If you want this call to be recorded, "
                           "please call torch.fx.wrap('len') at module scope")

    def keys(self) -> Any:
        """What ``**proxy`` asks for."""
        return self.tracer.keys(self)

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        tracers: dict[Any, None] = {}
        map_aggregate((args, kwargs), lambda v: tracers.setdefault(v.tracer) if isinstance(v, Proxy) else None)
        if len(tracers) > 1:
            raise RuntimeError(f"Found multiple different tracers {list(tracers)} while trying to trace operations {func}")
        (tracer,) = tracers
        return tracer.record(func, args, kwargs)


class Attribute(Proxy):
    """An attribute of a proxy: a method where it is called, else a node of its own."""

    def __init__(self, root: Proxy, attr: str):
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The node that takes the attribute, made when somebody needs it."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


def _unpacked(frame: Any) -> int | None:
    """Into how many names the program is unpacking at the moment, None where it does not."""
    found = next((i for i in dis.get_instructions(frame.f_code) if i.offset == frame.f_lasti), None)
    return found.argval if found is not None and found.opname == "UNPACK_SEQUENCE" else None


def _recorded(function: Callable, reflected: bool = False) -> Callable:
    def method(*args: Any) -> Any:
        tracer = args[0].tracer
        return tracer.create_proxy("call_function", function, args[::-1] if reflected else args, {})
    return method


for _name in (*BINARY, *COMPARISONS, *UNARY, "getitem"):
    setattr(Proxy, f"__{_name.rstrip('_')}__", _recorded(getattr(operator, _name)))
for _name in BINARY:
    setattr(Proxy, f"__r{_name.rstrip('_')}__", _recorded(getattr(operator, _name), reflected=True))
Proxy.__hash__ = object.__hash__  # type: ignore[method-assign,assignment]
