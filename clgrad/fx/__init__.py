"""``torch.fx``: programs as graphs that can be looked at and changed.

>>> import clgrad
>>> class Net(clgrad.nn.Module):
...     def __init__(self):
...         super().__init__()
...         self.layer = clgrad.nn.Linear(2, 3)
...     def forward(self, x):
...         return self.layer(x).relu()
>>> traced = symbolic_trace(Net())
>>> [(node.op, node.name) for node in traced.graph.nodes]
[('placeholder', 'x'), ('call_module', 'layer'), ('call_method', 'relu'), ('output', 'output')]
>>> traced(clgrad.ones(1, 2)).shape
torch.Size([1, 3])
"""

from clgrad.fx.graph import Graph
from clgrad.fx.graph_module import GraphModule
from clgrad.fx.interpreter import Interpreter, Transformer
from clgrad.fx.node import Node, has_side_effect, map_arg
from clgrad.fx.proxy import Proxy
from clgrad.fx.subgraph_rewriter import replace_pattern
from clgrad.fx.tracer import PH, Tracer, symbolic_trace, wrap

__all__ = ["PH", "Graph", "GraphModule", "Interpreter", "Node", "Proxy", "Tracer", "Transformer", "has_side_effect",
           "map_arg", "replace_pattern", "symbolic_trace", "wrap"]
