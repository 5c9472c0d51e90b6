"""``GraphModule``: a module whose ``forward`` is written from a graph."""

from __future__ import annotations

import copy
import itertools
import linecache
from typing import Any

from clgrad.fx.graph import Graph
from clgrad.nn.modules import Module
from clgrad.nn.parameter import Parameter
from clgrad.tensor import Tensor

__all__ = ["GraphModule"]

_numbers = itertools.count()


class GraphModule(Module):
    """A module made of a graph and of the submodules and attributes that the graph names.

    Args:
        root: the module that has them, or a dictionary from paths to them.
        graph: the program; it is copied. Assigning :attr:`graph` or :meth:`recompile` writes ``forward`` anew.
        class_name: what the class is called.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        base = next(kind for kind in cls.__mro__ if not kind.__dict__.get("_of_one_object"))
        # forward stands in the class, so every object needs one of its own. Programs know it by its name in PyTorch.
        return super().__new__(type(cls.__name__, (base,), {"_of_one_object": True, "__module__": cls.__module__,
                                                            "__qualname__": "GraphModule.__new__.<locals>.GraphModuleImpl"}))

    def __init__(self, root: Module | dict[str, Any], graph: Graph, class_name: str = "GraphModule"):
        super().__init__()
        type(self).__name__ = class_name
        if isinstance(root, Module):
            self.training = root.training
        for path in dict.fromkeys(n.target for n in graph.nodes if n.op in ("call_module", "get_attr")):
            if isinstance(root, Module):
                copy_attribute(root, self, path)
            elif path in root:
                assign_attribute(root[path], self, path)
            else:
                raise RuntimeError(f"GraphModule: the graph has a node with the target {path}, which is not among what was "
                                   "given for root")
        self.meta: dict[str, Any] = {}
        self.graph = graph

    @property
    def graph(self) -> Graph:
        """The program."""
        return self._graph

    @graph.setter
    def graph(self, graph: Graph) -> None:
        if not isinstance(graph, Graph):
            raise AssertionError(f"Expected a Graph instance, but got {type(graph)}")
        self.__dict__["_graph"] = graph
        graph.owning_module = self
        self.recompile()

    @property
    def code(self) -> str:
        """The source text of ``forward``."""
        return self._code

    def recompile(self) -> Any:
        """Writes ``forward`` anew, after the graph was changed."""
        written = self._graph.python_code("self")
        self.__dict__["_code"] = written.src
        file = f"<graph {next(_numbers)}>"
        linecache.cache[file] = (len(written.src), None, written.src.splitlines(True), file)  # for tracebacks
        names = dict(written.globals)
        exec(compile(written.src, file, "exec"), names)
        type(self).forward = names["forward"]  # type: ignore[method-assign]
        return written

    def print_readable(self, print_output: bool = True, include_stride: bool = False, include_device: bool = False,
                       colored: bool = False, **ignored: Any) -> str:
        """The class as it could be written, also printed."""
        text = f"class {type(self).__name__}(torch.nn.Module):\n" + "\n".join(
            f"    {line}".rstrip() for line in self.code.strip().split("\n"))
        if print_output:
            print(text)
        return text

    def add_submodule(self, target: str, m: Module) -> bool:
        """Puts a module at a path, making the modules on the way; False where something else is there."""
        *way, name = target.split(".")
        place: Any = self
        for part in way:
            if not hasattr(place, part):
                setattr(place, part, Module())
            place = getattr(place, part)
            if not isinstance(place, Module):
                return False
        place.add_module(name, m)
        return True

    def delete_submodule(self, target: str) -> bool:
        """Takes the module at a path away; False where there is none."""
        *way, name = target.split(".")
        try:
            place = self.get_submodule(".".join(way))
        except AttributeError:
            return False
        if not isinstance(getattr(place, name, None), Module):
            return False
        delattr(place, name)
        return True

    def delete_all_unused_submodules(self) -> None:
        """Takes away the modules that no node calls, or is part of one that is called."""
        used = {n.target for n in self._graph.nodes if n.op in ("call_module", "get_attr")}
        for name, _ in list(self.named_modules()):
            part_of_used = any(name == u or name.startswith(f"{u}.") or u.startswith(f"{name}.") for u in used)
            if name and not part_of_used:
                self.delete_submodule(name)

    def __deepcopy__(self, memo: dict) -> Any:
        state = {name: copy.deepcopy(value, memo) for name, value in self.__dict__.items() if name not in ("_graph", "_code")}
        return _restored(type(self).__name__, state, copy.deepcopy(self._graph))

    def __copy__(self) -> Any:
        return _restored(type(self).__name__, dict(self.__dict__), copy.deepcopy(self._graph))

    def __reduce__(self) -> tuple:
        state = {name: value for name, value in self.__dict__.items() if name not in ("_graph", "_code")}
        return _restored, (type(self).__name__, state, self._graph)

    def __str__(self) -> str:
        return (f"{super().__str__()}\n{self._code}\n"
                "# To see more debug info, please use `graph_module.print_readable()`")


def _restored(class_name: str, state: dict, graph: Graph) -> GraphModule:
    made = GraphModule({}, Graph(), class_name)
    made.__dict__.update({name: value for name, value in state.items() if name not in ("_graph", "_code")})
    made.graph = graph
    return made


def copy_attribute(source: Module, to: Module, path: str) -> None:
    """Gives a module what another has at a path, with empty modules on the way."""
    *way, name = path.split(".")
    for part in way:
        found = getattr(to, part, None)
        if found is None:
            found = Module()
            setattr(to, part, found)
        source, to = getattr(source, part), found
    value = getattr(source, name)
    if name in source._buffers:
        to.register_buffer(name, value, persistent=name not in source._non_persistent_buffers_set)
    elif getattr(to, name, None) is not value:
        setattr(to, name, value)


def assign_attribute(value: Any, to: Module, path: str) -> None:
    """Gives a module a value at a path, with empty modules on the way."""
    *way, name = path.split(".")
    for part in way:
        if getattr(to, part, None) is None:
            setattr(to, part, Module())
        to = getattr(to, part)
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        to.register_buffer(name, value)
    else:
        setattr(to, name, value)
