"""Programs as graphs: tracing, the text that is written from a graph, changing it, running it."""

from __future__ import annotations

import copy
import dataclasses
import enum
import math
import operator
import pickle

import pytest

import clgrad
from clgrad import fx, nn
from clgrad.fx.passes.shape_prop import ShapeProp
from clgrad.fx.proxy import TraceError

SCALE = 3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.weight = nn.Parameter(clgrad.arange(4.0))
        self.body = nn.Sequential(nn.ReLU(), nn.Linear(4, 2))
        self.register_buffer("shift", clgrad.ones(4))

    def forward(self, x, scale=2):
        a = clgrad.nn.functional.relu(self.layer(x) + self.weight) + self.shift
        b = a[:, 1:3].view(x.size(0), -1).clamp(min=0.0)
        c = clgrad.cat([b, -b], dim=1)
        left, right = c.chunk(2, 1)
        return {"out": self.body(a * SCALE), "others": [c.T, 1 - c, c == 2, a.shape[0], left, right ** 2]}


def values(result):
    """The numbers of nested results."""
    if isinstance(result, clgrad.Tensor):
        return result.tolist()
    if isinstance(result, dict):
        return {key: values(part) for key, part in result.items()}
    return [values(part) for part in result] if isinstance(result, (list, tuple)) else result


@pytest.fixture
def x():
    return clgrad.linspace(-1, 1, 12).view(3, 4)


def test_a_traced_module_computes_the_same(x):
    net = Net()
    traced = fx.symbolic_trace(net)
    assert values(traced(x)) == values(net(x))
    assert type(traced).__name__ == "Net"
    assert set(traced.state_dict()) == set(net.state_dict())
    traced.graph.lint()
    traced(x)["out"].sum().backward()
    assert traced.layer.weight.grad is net.layer.weight.grad is not None
    assert [n.target for n in traced.graph.nodes if n.op == "call_module"] == ["layer", "body.0", "body.1"]
    assert [n.target for n in traced.graph.nodes if n.op == "get_attr"] == ["weight", "shift"]


def test_the_text_is_pytorchs(torch):
    def program(library):
        class Small(library.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = library.nn.Linear(4, 4)
                self.blocks = library.nn.Sequential(library.nn.ReLU())
                self.weight = library.nn.Parameter(library.ones(4))

            def forward(self, input, other=None, *, flag=3):
                a = self.blocks(self.layer(input)) + self.weight
                b = library.cat([a, -a], dim=1)[:, 1:3, None].view(input.size(0), -1)
                c, d = b.max(dim=0)
                a += 1
                return a.shape[0], c.to(library.float64), (d // 2, 2 - d, ~(d > 1)), library.sum(a, (0, 1), keepdim=True)
        return Small()
    ours, theirs = fx.symbolic_trace(program(clgrad)), torch.fx.symbolic_trace(program(torch))
    assert ours.code == theirs.code
    assert str(ours.graph) == str(theirs.graph)
    assert str(ours) == str(theirs)


def test_functions_and_default_arguments(x):
    def program(a, b=2.0, *, c=1):
        return (a + b) * c
    traced = fx.symbolic_trace(program)
    assert values(traced(x)) == values(program(x))
    assert values(traced(x, 1.0, 3)) == values(program(x, 1.0, c=3))
    assert [n.target for n in traced.graph.nodes][:3] == ["a", "b", "c"]

    def several(*args, **kwargs):
        return args[0] + kwargs["y"]
    assert values(fx.symbolic_trace(several)(x, y=x)) == values(x + x)


def test_arguments_that_a_program_is_traced_for(x, torch):
    def program(a, twice, none=None, other=3):
        return a * 2 if twice else a
    given = {"twice": True, "none": None}
    fixed = fx.symbolic_trace(program, concrete_args=given | {"other": fx.PH})
    theirs = torch.fx.symbolic_trace(program, concrete_args=given | {"other": torch.fx.PH})
    assert fixed.code.replace("fx.tracer.", "fx._symbolic_trace.") == theirs.code
    assert not fixed.graph.eliminate_dead_code()
    assert values(fixed(x, True)) == values(x * 2)
    with pytest.raises(AssertionError, match="twice has been specialized to have value True"):
        fixed(x, False)
    with pytest.raises(AssertionError, match="none has been specialized to have value None"):
        fixed(x, True, 1)
    with pytest.warns(UserWarning, match="Was not able to add assertion to guarantee correct input twice"):
        fx.symbolic_trace(program, concrete_args={"twice": [1]})


def test_what_cannot_be_traced():
    with pytest.raises(TraceError, match="control flow"):
        fx.symbolic_trace(lambda x: x if x.sum() > 0 else -x)
    with pytest.raises(TraceError, match="iterated"):
        fx.symbolic_trace(lambda x: [part + 1 for part in x])
    with pytest.raises(RuntimeError, match="'len' is not supported"):
        fx.symbolic_trace(lambda x: x.__len__())
    with pytest.raises(TraceError, match="index"):
        fx.symbolic_trace(lambda x: list(range(x.shape[0])))
    with pytest.raises(NotImplementedError, match="argument of type"):
        fx.symbolic_trace(lambda x: x + object())


def test_what_is_done_with_parameters_alone_is_part_of_the_graph(x):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(clgrad.ones(4, 4))

        def forward(self, x):
            return nn.functional.linear(x, clgrad.exp(self.weight).t() / self.weight.size(0)) + clgrad.zeros(4)
    traced = fx.symbolic_trace(Tied())
    assert [n.name for n in traced.graph.nodes][:4] == ["x", "weight", "exp", "t"]
    with clgrad.no_grad():
        traced.weight.zero_()
    assert values(traced(x)) == values(nn.functional.linear(x, clgrad.full((4, 4), 0.25)))


@fx.wrap
def recorded_whole(x, count):
    return x * count if count > 1 else x


fx.wrap("len")


def test_functions_that_are_recorded_whole(x):
    traced = fx.symbolic_trace(lambda x: recorded_whole(x, len(x)))
    assert [(n.op, n.name) for n in traced.graph.nodes][1:3] == [("call_function", "len_1"),
                                                                ("call_function", "recorded_whole")]
    assert values(traced(x)) == values(x * 3)
    assert recorded_whole(2, 3) == 6
    rooted = fx.symbolic_trace(lambda x: x * math.sqrt(x.size(0)))
    assert [n.target for n in rooted.graph.find_nodes(op="call_function")] == [math.sqrt, operator.mul]
    assert values(rooted(x)) == values(x * math.sqrt(3))
    assert math.sqrt(4) == 2
    assert "len" not in globals()


def test_leaves_are_what_the_tracer_says(x):
    class Deep(fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return isinstance(m, nn.Sequential) or super().is_leaf_module(m, module_qualified_name)
    net = Net()
    graph = Deep().trace(net)
    assert [n.target for n in graph.nodes if n.op == "call_module"] == ["layer", "body"]
    assert values(fx.GraphModule(net, graph)(x)) == values(net(x))


# Graphs.

def test_a_graph_made_by_hand(x):
    graph = fx.Graph()
    a = graph.placeholder("a")
    b = graph.placeholder("input", default_value=1.0)
    c = graph.call_function(operator.add, (a, b))
    dead = graph.call_method("exp", (a,))
    graph.output({"sum": c, "pair": (c, [a, slice(None, 2)])})
    graph.lint()
    module = fx.GraphModule({}, graph)
    assert values(module(x)["sum"]) == values(x + 1.0)
    assert [n.name for n in graph.nodes] == ["a", "input_1", "add", "exp", "output"]
    assert graph.eliminate_dead_code()
    assert dead not in list(graph.nodes)
    with pytest.raises(RuntimeError, match="still had 1 users"):
        graph.erase_node(c)
    with pytest.warns(UserWarning, match="already erased"):
        graph.erase_node(dead)
    assert [n.op for n in reversed(graph.nodes)] == ["output", "call_function", "placeholder", "placeholder"]


def test_replacing_nodes(x):
    traced = fx.symbolic_trace(lambda x: clgrad.relu(x) + clgrad.relu(-x))
    for node in traced.graph.nodes:
        if node.target is clgrad.relu:
            with traced.graph.inserting_after(node):
                made = traced.graph.call_function(clgrad.sigmoid, node.args)
            node.replace_all_uses_with(made)
            traced.graph.erase_node(node)
    traced.recompile()
    traced.graph.lint()
    assert values(traced(x)) == values(clgrad.sigmoid(x) + clgrad.sigmoid(-x))
    last = traced.graph.find_nodes(op="call_function", target=operator.add)[0]
    last.target = operator.sub
    last.update_arg(1, 1.0)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    assert values(traced(x)) == values(clgrad.sigmoid(x) - 1.0)
    assert last.all_input_nodes == [last.args[0]]
    assert list(last.args[0].users) == [last]


def test_the_order_of_insertion():
    graph = fx.Graph()
    a = graph.placeholder("a")
    end = graph.output(a)
    with graph.inserting_before(end):
        first, second = graph.call_method("exp", (a,)), graph.call_method("log", (a,))
    with graph.inserting_after(a):
        third, fourth = graph.call_method("sin", (a,)), graph.call_method("cos", (a,))
    assert list(graph.nodes) == [a, fourth, third, first, second, end]
    second.append(third)
    assert list(graph.nodes) == [a, fourth, first, second, third, end]
    assert a < end
    assert a.next is fourth
    assert end.prev is third
    second.args = (third,)
    with pytest.raises(RuntimeError, match="before it has been defined"):
        graph.lint()


def test_places_of_insertion_without_a_block(torch):
    written = []
    for library in (fx, torch.fx):
        graph = library.Graph()
        a = graph.placeholder("a")
        end = graph.output(a)
        graph.inserting_after(a)
        sin = graph.call_method("sin", (a,))
        graph.call_method("cos", (a,))
        with graph.inserting_before(end):
            graph.call_method("exp", (sin,))
        graph.call_method("log", (a,))
        graph.inserting_after()
        graph.call_method("neg", (a,))
        written.append([node.name for node in graph.nodes])
        for place in (library.Graph().inserting_before, library.Graph().inserting_after):
            with pytest.raises(AssertionError, match="is not in graph"):
                place(a)
    assert written[0] == written[1]


def test_graphs_in_graphs(x):
    inner = fx.symbolic_trace(lambda a: a * 2).graph
    outer = fx.Graph()
    given = outer.placeholder("x")
    result = outer.graph_copy(inner, {next(iter(inner.nodes)): given})
    outer.output(outer.call_function(operator.neg, (result,)))
    assert values(fx.GraphModule({}, outer)(x)) == values(-(x * 2))


@pytest.mark.parametrize("again", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles(again, x):
    traced = fx.symbolic_trace(Net())
    made = again(traced)
    assert made is not traced
    assert made.code == traced.code
    assert values(made(x)) == values(traced(x))
    made.graph.erase_node(made.graph.output_node())
    made.graph.output(None)
    made.recompile()
    assert made(x) is None
    assert traced(x) is not None


def test_modules_of_graphs(x):
    traced = fx.symbolic_trace(Net())
    assert traced.add_submodule("new.inner", nn.ReLU())
    assert isinstance(traced.new.inner, nn.ReLU)
    traced.delete_all_unused_submodules()
    assert not hasattr(traced, "new")
    assert not traced.delete_submodule("nowhere")
    assert "class Net(torch.nn.Module):" in traced.print_readable(print_output=False)
    with pytest.raises(RuntimeError, match="not among what was given"):
        fx.GraphModule({}, traced.graph)


# Running and changing graphs.

def test_interpreters(x):
    net = Net()
    traced = fx.symbolic_trace(net)
    seen = []

    class Watch(fx.Interpreter):
        def run_node(self, n):
            seen.append(n.name)
            return super().run_node(n)

        def call_function(self, target, args, kwargs):
            return super().call_function(clgrad.sub if target is operator.add else target, args, kwargs)
    assert values(fx.Interpreter(traced).run(x)) == values(net(x))
    assert values(Watch(traced).run(x)["out"]) != values(net(x)["out"])
    assert seen == [n.name for n in traced.graph.nodes]
    with pytest.raises(RuntimeError, match="parameter x"):
        fx.Interpreter(traced).run()


def test_transformers(x):
    class Sigmoids(fx.Transformer):
        def call_function(self, target, args, kwargs):
            return super().call_function(clgrad.sigmoid if target is clgrad.relu else target, args, kwargs)

        def call_method(self, target, args, kwargs):
            return args[0] * 2 if target == "neg" else super().call_method(target, args, kwargs)
    traced = fx.symbolic_trace(lambda x: clgrad.relu(x).neg().exp())
    assert values(Sigmoids(traced).transform()(x)) == values((clgrad.sigmoid(x) * 2).exp())


def test_replacing_patterns(x):
    def program(x, y):
        return clgrad.relu(x + y) * clgrad.relu(y + x) + (x + y)
    traced = fx.symbolic_trace(program)
    found = fx.replace_pattern(traced, lambda a, b: clgrad.relu(a + b), lambda a, b: clgrad.sigmoid(a - b))
    assert len(found) == 2
    traced.graph.lint()
    y = x * 3
    assert clgrad.testing.assert_close(traced(x, y), clgrad.sigmoid(x - y) * clgrad.sigmoid(y - x) + (x + y)) is None
    shared = fx.symbolic_trace(lambda x: (x + 1, clgrad.relu(x + 1)))
    inner = fx.symbolic_trace(lambda x: [s := x + 1, clgrad.relu(s)])
    assert len(fx.replace_pattern(shared, lambda a: clgrad.relu(a + 1), lambda a: a)) == 1
    assert fx.replace_pattern(inner, lambda a: clgrad.relu(a + 1), lambda a: a) == []


def test_shapes_are_noted(x):
    traced = fx.symbolic_trace(Net())
    ShapeProp(traced).propagate(x)
    noted = {n.name: n.meta["tensor_meta"] for n in traced.graph.nodes if isinstance(n.meta.get("tensor_meta"), tuple)}
    assert noted["layer"].shape == (3, 4)
    assert noted["body_1"].dtype is clgrad.float32
    assert noted["x"].stride == (4, 1)


def test_tracing_leaves_nothing_behind(x):
    net = Net()
    fx.symbolic_trace(net)
    with pytest.raises(TraceError):
        fx.symbolic_trace(lambda x: net(x) if x else x)
    assert isinstance(net(x)["out"], clgrad.Tensor)
    assert isinstance(clgrad.exp(net.weight), clgrad.Tensor)


def test_proxies_of_nodes_append_to_their_graph(torch):
    """A graph that is put together by hand, as generators of code do, with and without a tracer of one's own."""
    texts = []
    for library in (clgrad, torch):
        graph = library.fx.Graph()
        x = library.fx.Proxy(graph.placeholder("x"))
        y = library.fx.Proxy(graph.placeholder("y"), library.fx.proxy.GraphAppendingTracer(graph))
        first, second = (x * 2).tanh(), library.matmul(y, y)
        graph.output((first.node, second.node))
        made = library.fx.GraphModule(library.nn.Module(), graph)
        ones = library.ones(2, 2)
        texts.append((made.code.replace("clgrad", "torch"), [t.tolist() for t in made(ones, ones)]))
        with pytest.raises(RuntimeError, match="multiple different tracers"):
            x + library.maximum(x, y)
    assert texts[0] == texts[1]


class Mode(enum.Enum):
    SUM, PRODUCT = 1, 2


@dataclasses.dataclass
class Pair:
    first: object
    second: object


def combined(x, mode):
    return x.sum() if mode is Mode.SUM else x.prod()


fx.wrap("combined")


class Decorated(nn.Module):
    @clgrad.no_grad()
    def forward(self, x, *, scale=2.0):
        return Pair(combined(x, Mode.PRODUCT), x * scale)

    def halved(self, x):
        return x / 2


def test_decorated_functions_enumerations_and_dataclasses(x):
    module = Decorated()
    traced = fx.symbolic_trace(module)
    for found, expected in ((traced(x), module(x)), (traced(x, scale=3.0), module(x, scale=3.0))):
        assert values(found.first) == values(expected.first) and values(found.second) == values(expected.second)
    assert [n.target for n in traced.graph.find_nodes(op="placeholder")] == ["x", "scale"]
    tracer = fx.Tracer()
    tracer.traced_func_name = "halved"
    assert values(fx.GraphModule(module, tracer.trace(module))(x)) == values(x / 2)


def test_tensors_that_a_graph_module_is_given_are_buffers(x):
    graph = fx.Graph()
    graph.output(graph.call_function(operator.add, (graph.placeholder("x"), graph.get_attr("part.shift"))))
    made = fx.GraphModule({"part.shift": clgrad.ones(1)}, graph)
    assert values(made(x)) == values(x + 1) and [name for name, _ in made.named_buffers()] == ["part.shift"]
