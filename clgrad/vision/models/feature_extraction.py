"""Models that return what their inner layers compute: ``create_feature_extractor``, by way of :mod:`clgrad.fx`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from clgrad.fx import Graph, GraphModule, Node, Tracer
from clgrad.fx.graph_module import copy_attribute
from clgrad.nn import Module
from clgrad.vision import ops

__all__ = ["create_feature_extractor", "get_graph_node_names"]


_BLOCKS = tuple(block for block in vars(ops).values() if isinstance(block, type) and issubclass(block, Module))


class NodePathTracer(Tracer):
    """Gives each node a name that says where in the model it stands: ``layer1.0.conv1``, ``layer1.0.add``, ``relu_1``.

    A module's node has the module's path, an operator's the path of the module in which it is and its own name. What comes
    again has a number.
    """

    def __init__(self, *args: Any, leaf_modules: list | None = None, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.leaf_modules = (*(leaf_modules or ()), *_BLOCKS)
        self.node_to_qualname: dict[Node, str] = {}
        self._module = ""

    def is_leaf_module(self, m: Module, module_qualname: str) -> bool:
        """Also the given ``leaf_modules`` and the blocks of :mod:`clgrad.vision.ops`."""
        return isinstance(m, self.leaf_modules) or super().is_leaf_module(m, module_qualname)

    def call_module(self, m: Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        """As the tracer does; notes in which module the nodes are made."""
        before, self._module = self._module, self.path_of_module(m)
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._module = before

    def create_proxy(self, kind: str, target: Any, args: tuple, kwargs: dict, name: str | None = None, type_expr: Any = None,
                     proxy_factory_fn: Callable | None = None) -> Any:
        """As the tracer does; names the node."""
        proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr, proxy_factory_fn)
        self.node_to_qualname[proxy.node] = self._qualname(proxy.node)
        return proxy

    def _qualname(self, node: Node) -> str:
        if node.op == "call_module":
            base = self._module
        else:
            own = re.sub(r"_\d+$", "", node.name)
            base = f"{self._module}.{own}" if self._module else own
        again = sum(re.fullmatch(re.escape(base) + r"(_\d+)?", other) is not None for other in self.node_to_qualname.values())
        return f"{base}_{again}" if again else base


def _traced(model: Module, settings: dict | None, train: bool, concrete_args: dict | None) -> tuple[NodePathTracer, Graph]:
    before = {module: module.training for module in model.modules()}
    model.train(train)
    try:
        tracer = NodePathTracer(**(settings or {}))
        return tracer, tracer.trace(model, concrete_args)
    finally:
        for module, training in before.items():
            module.training = training


def _warn_of_difference(train: list[str], evaluation: list[str]) -> None:
    if train != evaluation:
        warnings.warn("The nodes of the traced model in training mode differ from those in evaluation mode. Some names may "
                      "select nodes that are there in one mode only; use train_return_nodes and eval_return_nodes if that is "
                      "meant.", stacklevel=3)


def get_graph_node_names(model: Module, tracer_kwargs: dict | None = None, suppress_diff_warning: bool = False,
                         concrete_args: dict | None = None) -> tuple[list[str], list[str]]:
    """The names of the nodes of a model in training mode and in evaluation mode, in the order in which they run.

    >>> import clgrad
    >>> from clgrad.vision.models import resnet18
    >>> train, evaluation = get_graph_node_names(resnet18())
    >>> evaluation[:4], evaluation[-3:]
    (['x', 'conv1', 'bn1', 'relu'], ['avgpool', 'flatten', 'fc'])
    """
    names = []
    for train in (True, False):
        tracer, _ = _traced(model, tracer_kwargs, train, concrete_args)
        names.append(list(tracer.node_to_qualname.values()))
    if not suppress_diff_warning:
        _warn_of_difference(*names)
    return names[0], names[1]


def _named(nodes: list[str] | dict[str, str] | None) -> dict[str, str] | None:
    if isinstance(nodes, (list, tuple)):
        return {str(name): str(name) for name in nodes}
    return None if nodes is None else {str(name): str(shown) for name, shown in nodes.items()}


class _TwoGraphs(GraphModule):
    """A graph for training, and one for evaluation."""

    def __init__(self, root: Module, train_graph: Graph, eval_graph: Graph, class_name: str):
        super().__init__(root, train_graph, class_name)
        for node in eval_graph.nodes:
            if node.op in ("call_module", "get_attr"):
                copy_attribute(root, self, node.target)
        self.__dict__["_graphs"] = {True: train_graph, False: eval_graph}
        self.train(root.training)

    def train(self, mode: bool = True) -> Any:
        """Also takes the graph of that mode."""
        graphs = self.__dict__.get("_graphs")
        if graphs is not None and self.graph is not graphs[mode]:
            self.graph = graphs[mode]
        return super().train(mode)

    def __deepcopy__(self, memo: dict) -> Any:
        modules = Module()
        modules.__dict__.update({name: deepcopy(value, memo) for name, value in self.__dict__.items()
                                 if name not in ("_graph", "_graphs", "_code")})
        return _TwoGraphs(modules, deepcopy(self._graphs[True]), deepcopy(self._graphs[False]), type(self).__name__)

    def __reduce__(self) -> tuple:
        modules = Module()
        modules.__dict__.update({n: v for n, v in self.__dict__.items() if n not in ("_graph", "_graphs", "_code")})
        return _TwoGraphs, (modules, self._graphs[True], self._graphs[False], type(self).__name__)


def create_feature_extractor(model: Module, return_nodes: list[str] | dict[str, str] | None = None,
                             train_return_nodes: list[str] | dict[str, str] | None = None,
                             eval_return_nodes: list[str] | dict[str, str] | None = None,
                             tracer_kwargs: dict | None = None, suppress_diff_warning: bool = False,
                             concrete_args: dict | None = None) -> GraphModule:
    """A model that returns a dictionary of what the named nodes of ``model`` give, and computes no more than they need.

    Args:
        return_nodes: names of nodes (see :func:`get_graph_node_names`), or of modules, which stand for their last node; a
            dictionary says under which key each is returned.
        train_return_nodes, eval_return_nodes: the same apart for the two modes.
        tracer_kwargs: arguments of the tracer (:class:`clgrad.fx.Tracer`).
        suppress_diff_warning: no warning where the nodes of the two modes differ.
        concrete_args: values of ``forward``'s arguments that the model is traced for.

    Raises:
        ValueError: neither or both are given, or there is no such node.

    >>> import clgrad
    >>> from clgrad.vision.models import resnet18
    >>> body = create_feature_extractor(resnet18().eval(), {"layer1": "low", "avgpool": "high"})
    >>> [(name, tuple(value.shape)) for name, value in body(clgrad.rand(1, 3, 32, 32)).items()]
    [('low', (1, 64, 8, 8)), ('high', (1, 512, 1, 1))]
    """
    if return_nodes is not None and not (train_return_nodes is None and eval_return_nodes is None):
        raise ValueError("If `return_nodes` is specified, `train_return_nodes` and `eval_return_nodes` should not be "
                         "specified")
    if return_nodes is None and (train_return_nodes is None or eval_return_nodes is None):
        raise ValueError("Either `return_nodes`, or both `train_return_nodes` and `eval_return_nodes`, should be specified")
    wanted = {True: _named(return_nodes if return_nodes is not None else train_return_nodes),
              False: _named(return_nodes if return_nodes is not None else eval_return_nodes)}
    traced = {train: _traced(model, tracer_kwargs, train, concrete_args) for train in (True, False)}
    if return_nodes is not None and not suppress_diff_warning:
        _warn_of_difference(*[list(traced[train][0].node_to_qualname.values()) for train in (True, False)])
    graphs = {train: _cut(*traced[train], wanted[train] or {}) for train in (True, False)}
    return _TwoGraphs(model, graphs[True], graphs[False], type(model).__name__)


def _cut(tracer: NodePathTracer, graph: Graph, wanted: dict[str, str]) -> Graph:
    """The graph with other outputs, and without what they do not need."""
    outputs: dict[str, Node] = {}
    names = tracer.node_to_qualname
    for name, shown in wanted.items():
        found = [node for node in graph.nodes if f"{names.get(node)}.".startswith(f"{name}.")]
        if not found:
            known = ", ".join(names.values())
            raise ValueError(f"node: '{name}' is not present in model. Hint: use `get_graph_node_names` to make sure the "
                             f"`return_nodes` you specified are present. There are {known}")
        exact = next((node for node in found if names[node] == name), None)
        outputs[shown] = exact if exact is not None else found[-1]
    graph.erase_node(graph.output_node())
    graph.output(outputs)
    graph.eliminate_dead_code()
    return graph
