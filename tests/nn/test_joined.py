"""A layer and the activation after it in a Sequential: computed by one launch, and nobody can tell."""

import numpy as np
import pytest

import clgrad
from clgrad import fx, nn
from clgrad.autograd.listening import switch
from clgrad.profiler import profile


def build(name):
    """A layer, and an input for it."""
    clgrad.manual_seed(0)
    layer, shape = {
        "linear": (nn.Linear(5, 7), (3, 5)), "linear without bias": (nn.Linear(5, 7, bias=False), (3, 5)),
        "linear of three dimensions": (nn.Linear(5, 7), (2, 3, 5)), "linear of a vector": (nn.Linear(5, 7), (5,)),
        "linear of nothing": (nn.Linear(5, 7), (0, 5)),
        "conv": (nn.Conv2d(2, 4, 3, padding=1), (2, 2, 6, 5)), "conv unbatched": (nn.Conv2d(2, 4, 3), (2, 6, 5)),
        "conv padded by reflection": (nn.Conv2d(2, 4, 3, padding=1, padding_mode="reflect"), (2, 2, 6, 5)),
        "conv in groups": (nn.Conv2d(4, 4, 3, groups=4, bias=False, stride=2), (2, 4, 7, 7))}[name]
    return layer.double(), clgrad.randn(*shape, dtype=clgrad.float64, requires_grad=True)


LAYERS = ["linear", "linear without bias", "linear of three dimensions", "linear of a vector", "linear of nothing", "conv",
          "conv unbatched", "conv padded by reflection", "conv in groups"]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("inplace", [False, True])
def test_values_and_gradients_are_those_of_layer_and_activation(name, inplace):
    layer, x = build(name)
    joined = nn.Sequential(layer, nn.ReLU(inplace))(x)
    apart = nn.functional.relu(layer(x))
    wanted = [x, *layer.parameters()]
    seed = clgrad.randn(*apart.shape, dtype=clgrad.float64)
    assert np.array_equal(joined.detach().numpy(), apart.detach().numpy())
    for a, b in zip(clgrad.autograd.grad(joined, wanted, seed), clgrad.autograd.grad(apart, wanted, seed), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("name", ["linear", "linear of three dimensions", "conv"])
def test_second_derivatives(name):
    layer, x = build(name)
    net = nn.Sequential(layer, nn.ReLU(), nn.Flatten(0))

    def squares(*inputs):
        return (net(inputs[0]) ** 2).sum()
    assert clgrad.autograd.gradgradcheck(squares, (x,))


def test_nan_passes():
    layer, x = build("linear")
    with clgrad.no_grad():
        x[1, 2] = float("nan")
    assert nn.Sequential(layer, nn.ReLU())(x).isnan().sum(1).tolist() == [0, 7, 0]


@pytest.mark.parametrize("name", ["linear", "conv"])
def test_it_is_one_launch_and_one_node(name, monkeypatch):
    monkeypatch.setattr(switch, "on", False)  # classes of other tests, which override operators, have turned it on
    layer, x = build(name)
    net, launched = nn.Sequential(layer, nn.ReLU()), []
    net(x)
    monkeypatch.setattr(x.device.compute, "recorder", lambda bound, event: launched.append(bound))
    y = net(x)
    assert len(launched) == 1
    assert y.grad_fn.name() == {"linear": "AddmmBackward0", "conv": "ConvolutionBackward0"}[name]


@pytest.mark.parametrize("position", [0, 1])
def test_a_hook_sees_what_is_between(position):
    layer, x = build("linear")
    net = nn.Sequential(layer, nn.ReLU())
    seen = []
    net[position].register_forward_hook(lambda module, args, result: seen.append((args[0], result)))
    y = net(x)
    assert len(seen) == 1
    between = seen[0][1] if position == 0 else seen[0][0]
    assert float(between.min()) < 0 <= float(y.min())


def test_a_subclass_computes_what_it_says():
    class Doubled(nn.Linear):
        def forward(self, input):
            return 2 * super().forward(input)

    class Shifted(nn.ReLU):
        def forward(self, input):
            return super().forward(input) + 1
    _, x = build("linear")
    layer = Doubled(5, 7).double()
    y = nn.Sequential(layer, Shifted())(x)
    assert clgrad.equal(y, (2 * nn.functional.linear(x, layer.weight, layer.bias)).relu() + 1)


def test_a_replaced_forward_is_called():
    layer, x = build("linear")
    layer.forward = lambda input: input
    assert clgrad.equal(nn.Sequential(layer, nn.ReLU())(x), x.relu())


def test_a_profiler_sees_both():
    layer, x = build("linear")
    net = nn.Sequential(layer, nn.ReLU())
    with profile() as found:
        net(x)
    assert {"aten::linear", "aten::relu"} <= {event.name for event in found.events()}


def test_a_tracer_sees_both():
    layer, _ = build("linear")
    graph = fx.symbolic_trace(nn.Sequential(layer, nn.ReLU())).graph
    assert [node.target for node in graph.nodes if node.op == "call_module"] == ["0", "1"]
