"""``Proxy``: stands for a value while a program is traced; its tracer records what is done with it."""

from __future__ import annotations

import dis
import inspect
import operator
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from clgrad import dtypes
from clgrad.formats import layout, memory_format
from clgrad.fx.codegen import BINARY, COMPARISONS, UNARY
from clgrad.fx.graph import Graph
from clgrad.fx.node import Node, map_aggregate
from clgrad.ops.registry import FUNCTIONS
from clgrad.runtime import device
from clgrad.shapes import Size
from clgrad.tensor import Tensor

__all__ = ["Attribute", "GraphAppendingTracer", "Proxy", "TraceError", "TracerBase"]

_CONSTANTS = (str, int, float, bool, complex, bytes, type(None), type(Ellipsis), dtypes.dtype, device, memory_format, layout,
              range)


class TraceError(ValueError):
    """The program does something that depends on values, which are not known while it is traced."""


class Proxy:
    """A value of the program that is traced: operators on it become nodes, made by its ``tracer``.

    Without a tracer they are appended to the graph of its node:

    >>> import clgrad
    >>> graph = clgrad.fx.Graph()
    >>> x = Proxy(graph.placeholder("x"))
    >>> (x + 1).node.graph is graph
    True
    """

    def __init__(self, node: Node, tracer: TracerBase | None = None):
        self.node, self.tracer = node, GraphAppendingTracer(node.graph) if tracer is None else tracer

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


class TracerBase:
    """Makes nodes, and proxies for them."""

    graph: Graph
    record_stack_traces = False

    def create_node(self, kind: str, target: Any, args: tuple, kwargs: dict, name: str | None = None,
                    type_expr: Any = None) -> Node:
        """A new node of the graph."""
        return self.graph.create_node(kind, target, args, kwargs, name, type_expr)

    def proxy(self, node: Node) -> Proxy:
        """A proxy for a node."""
        return Proxy(node, self)

    def create_proxy(self, kind: str, target: Any, args: tuple, kwargs: dict, name: str | None = None, type_expr: Any = None,
                     proxy_factory_fn: Callable | None = None) -> Any:
        """A new node whose arguments are what proxies stand for, and the proxy for it."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return self.proxy(node) if proxy_factory_fn is None else proxy_factory_fn(node)

    def record(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """A node for a call of a public operator: of the function, or of the method that only Tensor has."""
        name = function.__name__
        if name == "__get__":
            return self.create_proxy("call_function", getattr, (args[0], function.__self__.fget.operator_name), {})
        if getattr(Tensor, name, None) is function and FUNCTIONS.get(name) is not function:
            return self.create_proxy("call_method", name, args, kwargs)
        return self.create_proxy("call_function", function, args, kwargs)

    def create_arg(self, a: Any) -> Any:
        """A value as an argument of a node.

        Raises:
            NotImplementedError: a value of a class that graphs do not hold.
        """
        if isinstance(a, Proxy):
            return a.node
        if isinstance(a, (tuple, list)) and not isinstance(a, Size):
            parts = [self.create_arg(part) for part in a]
            return type(a)(*parts) if hasattr(a, "_fields") else type(a)(parts)
        if isinstance(a, dict):
            return {key: self.create_arg(part) for key, part in a.items()}
        if isinstance(a, slice):
            return slice(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if is_dataclass(a) and not isinstance(a, type):
            named = {field.name: self.create_arg(getattr(a, field.name)) for field in fields(a)}
            return self.create_node("call_function", type(a), (), named)
        if isinstance(a, (*_CONSTANTS, Size, Enum, type)) or callable(a):
            return a
        raise NotImplementedError(f"argument of type: {type(a)}")

    def to_bool(self, obj: Proxy) -> bool:
        """TraceError: which way the program goes is not known."""
        raise TraceError("symbolically traced variables cannot be used as inputs to control flow")

    def iter(self, obj: Proxy) -> Iterator:
        """TraceError: how often the program loops is not known."""
        raise TraceError("Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as a "
                         "*args or **kwargs function argument. See the torch.fx docs on pytorch.org for a more detailed "
                         "explanation of what types of control flow can be traced, and check out the Proxy docstring for "
                         "help troubleshooting Proxy iteration errors")

    def keys(self, obj: Proxy) -> Any:
        """The keys of a proxy, as a node."""
        return self.create_proxy("call_method", "keys", (obj,), {})


class GraphAppendingTracer(TracerBase):
    """Appends nodes to a graph that exists."""

    def __init__(self, graph: Graph):
        self.graph = graph


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
