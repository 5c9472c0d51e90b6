"""Tracing: a program is run with proxies for its arguments, and what it does with them becomes a graph."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import sys
import warnings
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, MethodType
from typing import Any

from clgrad.fx.graph import Graph
from clgrad.fx.graph_module import GraphModule
from clgrad.fx.node import Node, has_side_effect, map_aggregate
from clgrad.fx.proxy import Proxy, TracerBase
from clgrad.nn.modules import Module, Sequential
from clgrad.nn.modules.hooks import calling_modules
from clgrad.nn.parameter import Parameter
from clgrad.ops.registry import FUNCTIONS
from clgrad.overrides import TorchFunctionMode
from clgrad.tensor import Tensor

__all__ = ["Tracer", "symbolic_trace", "wrap"]

PH: Any = object()  # among concrete_args: an argument that is not known
# What a program may know of a parameter while it is traced.
_FACTS = frozenset({"size", "stride", "dim", "ndimension", "numel", "nelement", "element_size", "is_contiguous",
                    "is_floating_point", "__len__", "__repr__", "requires_grad_", "data"})


# The order in which Python's functions keep their arguments.
_ORDER = ("POSITIONAL_ONLY", "POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY", "VAR_POSITIONAL", "VAR_KEYWORD")
_STARS = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}


def _by_position(function: Callable, count: int) -> Callable:
    """The function with all arguments by position, where it has others; ``*args`` is then one proxy."""
    own = getattr(function, "__func__", function)
    if not inspect.isfunction(own):
        return function
    code, bound = own.__code__, inspect.ismethod(function)
    stars = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
    if not (code.co_flags & stars or code.co_kwonlyargcount):
        return function
    plain = code.replace(co_flags=code.co_flags & ~stars, co_argcount=count + bound, co_posonlyargcount=0,
                         co_kwonlyargcount=0)
    made = FunctionType(plain, own.__globals__, own.__name__, None, own.__closure__)
    return MethodType(made, function.__self__) if bound else made  # type: ignore[attr-defined]


def _undecorated(function: Callable) -> Callable:
    """What decorators that say so were put around, bound to the same object."""
    plain = inspect.unwrap(function)
    if plain is not function and inspect.ismethod(function) and inspect.isfunction(plain):
        return MethodType(plain, function.__self__)
    return plain


class Tracer(TracerBase):
    """Traces modules and functions. Subclasses say what is a leaf (:meth:`is_leaf_module`) and how calls become nodes.

    Args:
        autowrap_modules: modules of Python whose functions are recorded as a whole.
        autowrap_functions: other functions that are recorded as a whole wherever the program calls them by a global name.
        param_shapes_constant: accepted; shapes of parameters are always known.
    """

    traced_func_name = "forward"  # which method of a module is traced

    def __init__(self, autowrap_modules: tuple = (math,), autowrap_functions: tuple = (),
                 param_shapes_constant: bool = False):
        self._autowrap_search = list(autowrap_modules)
        public = [value for module in autowrap_modules for name, value in vars(module).items()
                  if callable(value) and not name.startswith("_")]
        self._autowrap_function_ids = {id(value) for value in (*public, *autowrap_functions)}
        self.root: Module = Module()
        self._paths: dict[Any, str] = {}
        self._attributes: dict[str, Node] = {}

    def is_leaf_module(self, m: Module, module_qualified_name: str) -> bool:
        """Whether a module is recorded as a whole: the layers of ``nn`` are, but for ``Sequential``."""
        return type(m).__module__.startswith(("clgrad.nn", "torch.nn")) and not isinstance(m, Sequential)

    def path_of_module(self, mod: Module) -> str:
        """Where a submodule stands, ``layer.0.conv``.

        Raises:
            NameError: it is no part of the root.
        """
        found = next((name for name, module in self.root.named_modules() if module is mod), None)
        if found is None:
            raise NameError("module is not installed as a submodule")
        return found

    def call_module(self, m: Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        """What a call of a submodule gives: a node for a leaf, else what its ``forward`` gives."""
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return self.create_proxy("call_module", path, args, kwargs)
        return forward(*args, **kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Proxy]) -> Any:
        """What tracers of a program's own give for an attribute of a module: a proxy for a parameter, else the attribute."""
        name = next((name for name, own in self.root.named_parameters() if own is attr_val), None)
        if name is None:
            return attr_val
        if name not in parameter_proxy_cache:
            parameter_proxy_cache[name] = self.create_proxy("get_attr", name, (), {})
        return parameter_proxy_cache[name]

    def create_arg(self, a: Any) -> Any:
        """As :meth:`TracerBase.create_arg`; tensors become attributes of the root, and so do modules."""
        if isinstance(a, Tensor):
            return self._attribute(a)
        if isinstance(a, Module):
            return self.create_node("get_attr", self.path_of_module(a), (), {})
        return super().create_arg(a)

    def _attribute(self, tensor: Tensor) -> Node:
        named = itertools.chain(self.root.named_parameters(), self.root.named_buffers())
        path = next((name for name, own in named if own is tensor), None)
        if path is None:
            path = next((name for name, value in vars(self.root).items() if value is tensor), None)
        if path is None:
            path = next(name for name in (f"_tensor_constant{n}" for n in itertools.count())
                        if not hasattr(self.root, name))
            setattr(self.root, path, tensor)
        if path not in self._attributes:
            self._attributes[path] = self.create_node("get_attr", path, (), {})
        return self._attributes[path]

    def create_args_for_root(self, root_fn: Callable, is_module: bool, concrete_args: dict | None = None) -> tuple:
        """The function and the values to call it with, by position: proxies, but for what ``concrete_args`` gives.

        The function of a module may be bound to it, or be the class's own, which then gets the module as its first argument.
        """
        if is_module and not inspect.ismethod(root_fn):
            bound, values = self.create_args_for_root(MethodType(root_fn, self.root), is_module, concrete_args)
            return lambda _, *given: bound(*given), [self.root, *values]
        plain = _undecorated(root_fn)
        parameters = sorted(inspect.signature(plain).parameters.values(), key=lambda p: _ORDER.index(p.kind.name))
        values = []
        for parameter in parameters:
            star = _STARS.get(parameter.kind.name, "")
            default = () if parameter.default is parameter.empty else (parameter.default,)
            if parameter.name in (concrete_args or {}):
                values.append(self._specialized(parameter.name, default, concrete_args[parameter.name]))  # type: ignore[index]
            else:
                values.append(self.create_proxy("placeholder", star + parameter.name, default, {}))
        if plain is root_fn or any(parameter.kind.name in _STARS for parameter in parameters):
            return _by_position(plain, len(values)), values
        # Through the decorators, which pass arguments on as they come.
        named = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
        first = len(values) - len(named)
        return lambda *given: root_fn(*given[:first], **dict(zip(named, given[first:], strict=True))), values

    def _specialized(self, name: str, default: tuple, value: Any) -> Any:
        """An argument whose value the program is traced for; numbers, texts and None are checked when the graph runs."""
        proxy = self.create_proxy("placeholder", f"{name}_1", default, {})
        if value is PH:
            return proxy
        given = f"{name} has been specialized to have value {value} but got another value"
        if value is None:
            self.create_proxy("call_function", _assert_is_none, (proxy, given), {})
        elif isinstance(value, (bool, int, float, str)):
            FUNCTIONS["_assert"](proxy == value, given)
        else:
            warnings.warn(f"Was not able to add assertion to guarantee correct input {name} to specialized function: it is "
                          "taken for the value that was given", stacklevel=4)
        return value

    def trace(self, root: Module | Callable, concrete_args: dict | None = None) -> Graph:
        """The graph of a module's ``forward``, or of a function.

        Raises:
            TraceError: the program does something that depends on values.
        """
        is_module = isinstance(root, Module)
        self.root = root if is_module else Module()  # type: ignore[assignment]
        self._attributes = {}
        self.graph = Graph(tracer_cls=type(self))
        function = getattr(root, self.traced_func_name) if is_module else root
        called, args = self.create_args_for_root(function, is_module, concrete_args)
        with ExitStack() as around:
            around.enter_context(_Parameters(self))
            around.enter_context(calling_modules(self._called))
            around.enter_context(_wrapped(_by_name))
            around.enter_context(_wrapped(_listed(self._autowrap_function_ids, self._places(_undecorated(function)))))
            result = called(*args)
        self.create_node("output", "output", (self.create_arg(result),), {})
        return self.graph

    def _places(self, traced: Callable) -> list[dict]:
        """Where the program finds functions: the modules that are wrapped, and the global names of what is traced."""
        forwards = [inspect.unwrap(module.forward) for module in self.root.modules() if hasattr(module, "forward")]
        found = [vars(module) for module in self._autowrap_search]
        found += [getattr(function, "__globals__", {}) for function in (traced, *forwards)]
        return list({id(names): names for names in found}.values())

    def _called(self, module: Module, args: tuple, kwargs: dict) -> Any:
        return self.call_module(module, lambda *a, **k: module._call_hooks(a, k), args, kwargs)


class _Parameters(TorchFunctionMode):
    """Records what a program does with parameters alone: their values are not those of the trace."""

    def __init__(self, tracer: Tracer):
        self._tracer = tracer

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if any(issubclass(kind, Proxy) for kind in types):
            return NotImplemented
        found: list[Any] = []
        map_aggregate((args, kwargs), lambda v: found.append(v) if isinstance(v, Parameter) else None)
        own = {id(p) for p in self._tracer.root.parameters()}
        if not types and any(id(p) in own for p in found) and func.__name__ not in _FACTS:
            return self._tracer.record(func, args, kwargs)
        return func(*args, **kwargs)


# Functions that are recorded as a whole.

_by_name: list[tuple[dict, str]] = []


def wrap(fn_or_name: str | Callable) -> Any:
    """Says, where a module is defined, that calls of a function are recorded as a whole.

    Args:
        fn_or_name: the function (so it can be a decorator), or the name of a function of this module or of Python's.

    Raises:
        RuntimeError: it is neither.
    """
    name = fn_or_name if isinstance(fn_or_name, str) else getattr(fn_or_name, "__name__", None)
    if not isinstance(name, str) or not (isinstance(fn_or_name, str) or callable(fn_or_name)):
        raise RuntimeError("Unsupported type for global function! Must be either a callable or string name")
    frame = sys._getframe(1)
    if frame.f_code.co_name != "<module>":
        raise NotImplementedError("wrap must be called at the top level of a module")
    _by_name.append((frame.f_globals, name))
    return fn_or_name


def _recording(function: Callable) -> Callable:
    @functools.wraps(function)
    def recording(*args: Any, **kwargs: Any) -> Any:
        found: list[Proxy] = []
        map_aggregate((args, kwargs), lambda v: found.append(v) if isinstance(v, Proxy) else None)
        if not found:
            return function(*args, **kwargs)
        return found[0].tracer.create_proxy("call_function", function, args, kwargs)
    return recording


def _listed(functions: Container[int], searched: list[dict]) -> list[tuple[dict, str]]:
    """Where names mean one of the functions, which are given by their ids."""
    return [(names, name) for names in searched for name, value in names.items() if id(value) in functions]


@contextmanager
def _wrapped(places: list[tuple[dict, str]]) -> Iterator[None]:
    """A block in which the functions of these names are recorded as a whole."""
    missing, changed = object(), []
    for names, name in places:
        before = names.get(name, missing)
        function = _builtin(names, name) if before is missing else before
        if function is not None:
            changed.append((names, name, before))
            names[name] = _recording(function)
    try:
        yield
    finally:
        for names, name, before in reversed(changed):
            if before is missing:
                del names[name]
            else:
                names[name] = before


def _builtin(names: dict, name: str) -> Any:
    """What a name means in a module that has not given it another meaning."""
    found = names["__builtins__"]
    return (found if isinstance(found, dict) else vars(found)).get(name)


def _assert_is_none(value: Any, msg: str) -> None:
    if value is not None:
        raise AssertionError(msg)


has_side_effect(_assert_is_none)


def symbolic_trace(root: Module | Callable, concrete_args: dict | None = None) -> GraphModule:
    """Runs a module or function with proxies, and returns a module of what it did.

    ``concrete_args`` gives arguments, by name, the values that the program is traced for; :data:`PH` stands for a proxy.

    >>> import clgrad
    >>> traced = symbolic_trace(lambda x: clgrad.relu(x + 1))
    >>> print(traced.code.strip())
    def forward(self, x):
        add = x + 1;  x = None
        relu = torch.relu(add);  add = None
        return relu
    """
    tracer = Tracer()
    graph = tracer.trace(root, concrete_args)
    name = type(root).__name__ if isinstance(root, Module) else getattr(root, "__name__", type(root).__name__)
    return GraphModule(tracer.root, graph, name)
