"""Runs of layers in a Sequential: computed as one node, an activation by its layer's launch, and nobody can tell."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import clgrad
from clgrad import fx, nn
from clgrad.autograd.listening import switch
from clgrad.nn.modules import chain
from clgrad.profiler import profile


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch):
    """Classes of other tests, which override operators, have turned listening on; then there are no chains."""
    monkeypatch.setattr(switch, "watched", False)


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
    layer, x = build(name)
    net, launched = nn.Sequential(layer, nn.ReLU()), []
    net(x)
    monkeypatch.setattr(x.device.compute, "recorder", lambda bound, *_: launched.append(bound))
    y = net(x)
    assert len(launched) == 1
    assert y.grad_fn.name() == "ReluBackward0"


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


def chains():
    """Networks of layers that one chain computes, or several, and an input's shape for each."""
    return {
        "LeNet": (nn.Sequential(nn.Conv2d(1, 3, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(True),
                                nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 9), nn.ReLU(), nn.Linear(9, 5)), (3, 1, 16, 16)),
        "perceptron": (nn.Sequential(nn.Flatten(), nn.Linear(12, 9, bias=False), nn.ReLU(), nn.Linear(9, 7), nn.Tanh(),
                                     nn.Linear(7, 5), nn.Sigmoid()), (4, 3, 4)),
        "wide": (nn.Sequential(nn.Linear(40, 70), nn.ReLU(), nn.Linear(70, 90), nn.ReLU(), nn.Linear(90, 30)), (33, 40)),
        "three dimensions": (nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3), nn.ReLU()), (2, 4, 5)),
        "ends in a pool": (nn.Sequential(nn.Conv2d(2, 4, 3, 1, 1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)), (2, 2, 9, 7)),
        "ends in a view": (nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1, 1), nn.ReLU(), nn.Flatten()), (2, 2, 9, 7)),
        "begins in place": (nn.Sequential(nn.ReLU(True), nn.Linear(5, 4), nn.ReLU(), nn.ReLU(), nn.Linear(4, 3)), (6, 5)),
        "other layers between": (nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                                               nn.Softmax(1), nn.Flatten(), nn.Linear(36, 3)), (2, 2, 8, 8)),
        "activations first": (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Conv2d(2, 3, 2)), (2, 2, 7, 7)),
        "settings in lists": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d([2, 2])), (2, 2, 8, 8)),
    }


CHAINS = list(chains())


STATES = ["known", "recorded", "repeated"]  # by how many passes there were before


def built(name, dtype=clgrad.float64, state="known"):
    """A network of :func:`chains`, known by a first call, whose launches are recorded next, or repeated; and an input."""
    clgrad.manual_seed(1)
    net, shape = chains()[name]
    net = net.to(dtype)
    x = clgrad.randn(*shape).to(dtype).requires_grad_()
    for _ in range(1 + STATES.index(state)):
        y = net(x.clone())
        if y.requires_grad:
            y.sum().backward()
    for t in (x, *net.parameters()):
        t.grad = None
    return net, x


def one_by_one(net, x):
    """What the layers give without a chain."""
    for layer in net:
        x = layer(x)
    return x


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("dtype", [clgrad.float64, clgrad.float32, clgrad.float16], ids=str)
@pytest.mark.parametrize("state", STATES)
def test_a_chain_gives_what_its_layers_give(name, dtype, state, monkeypatch):
    net, x = built(name, dtype, state)
    called, plain = [], chain._Chain.__call__
    monkeypatch.setattr(chain._Chain, "__call__", lambda self, *operands: called.append(self) or plain(self, *operands))
    y, expected = net(x.clone()), one_by_one(net, x.clone())
    assert len(called) == {"settings in lists": 0, "other layers between": 3}.get(name, 1)
    wanted, seed = [x, *net.parameters()], clgrad.randn(*expected.shape).to(dtype)
    allowed = {clgrad.float64: 1e-12, clgrad.float32: 1e-5, clgrad.float16: 2e-2}[dtype]
    assert y.dtype is dtype and y.stride() == expected.stride()
    assert clgrad.allclose(y, expected, rtol=allowed, atol=allowed)
    for a, b in zip(clgrad.autograd.grad(y, wanted, seed), clgrad.autograd.grad(expected, wanted, seed), strict=True):
        assert a.dtype is dtype and clgrad.allclose(a, b, rtol=allowed, atol=allowed)


@pytest.mark.parametrize("name", CHAINS)
def test_second_derivatives_of_chains(name):
    net, x = built(name)
    found = []
    for call in (net, lambda value: one_by_one(net, value)):
        operands = [x, *net.parameters()]
        first = clgrad.autograd.grad((call(x.clone()) ** 2).sum(), operands, create_graph=True)
        found.append(clgrad.autograd.grad(sum((g ** 2).sum() for g in first), operands))
    for a, b in zip(*found, strict=True):
        assert clgrad.allclose(a, b, rtol=1e-9, atol=1e-9)


def test_one_node_and_no_launch_for_a_relu(monkeypatch):
    net, x = built("LeNet", clgrad.float32)
    names = []
    monkeypatch.setattr(x.device.compute, "recorder", lambda bound, *_: names.append(bound.kernel.name))
    y = net(x)
    forward = len(names)
    y.backward(clgrad.ones(y.shape))
    assert forward == 6 and not any("relu" in name for name in names)
    assert [edge[0] is not None for edge in y.grad_fn.next_functions].count(True) == 1 + len(list(net.parameters()))


@pytest.mark.parametrize("order", [(0, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 2)], ids=str)
def test_weights_that_are_used_twice(order):
    """What is recorded for different weights is not repeated for one that stands there twice, nor the reverse."""
    x = clgrad.randn(3, 4, dtype=clgrad.float64)
    for chosen in ((0, 1, 2), order, (0, 0, 0), (0, 1, 2), (0, 0, 1)):
        layers = [nn.Linear(4, 4).double() for _ in range(3)]
        first, second, third = (layers[n] for n in chosen)
        net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        for _ in range(3):
            net.zero_grad()
            net(x).sum().backward()
        found = [layer.weight.grad for layer in layers]
        for layer in layers:
            layer.weight.grad = None
        one_by_one(net, x).sum().backward()
        for layer, g in zip(layers, found, strict=True):
            assert (g is None and layer.weight.grad is None) or clgrad.allclose(g, layer.weight.grad)


def test_an_operand_that_comes_from_another():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    first = clgrad.randn(3, 4, dtype=clgrad.float64)

    def second(call):
        net.zero_grad()
        (g,) = clgrad.autograd.grad((call(first @ net[0].weight) ** 2).sum(), net[0].weight, create_graph=True)
        (g ** 2).sum().backward()
        return net[0].weight.grad
    net(first)
    assert clgrad.allclose(second(net), second(lambda value: one_by_one(net, value)))


@pytest.mark.parametrize("frozen", [(0,), (2,), (0, 2), (0, 2, 4)])
@pytest.mark.parametrize("of_input", [False, True])
def test_parameters_that_need_no_gradient(frozen, of_input):
    net, x = built("wide")
    x.requires_grad_(of_input)
    for number in frozen:
        net[number].requires_grad_(False)
    if len(frozen) == 3 and not of_input:
        assert not net(x).requires_grad
        return
    found = []
    for call in (lambda value: one_by_one(net, value), net, net, net):
        net.zero_grad()
        x.grad = None
        call(x).sum().backward()
        found.append([t.grad for t in (x, *net.parameters())])
    for expected, *given in zip(*found, strict=True):
        assert all((g is None) if expected is None else clgrad.allclose(g, expected) for g in given)


@pytest.mark.parametrize("state", STATES)
def test_a_second_backward_pass(state):
    net, x = built("LeNet", state=state)
    y = net(x)
    y.sum().backward(retain_graph=True)
    once = x.grad.clone()
    y.sum().backward()
    assert clgrad.allclose(x.grad, 2 * once)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_what_is_between_is_freed_on_the_way(passes):
    net = nn.Sequential(*[layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.ReLU())])
    x = clgrad.randn(4096, 64)
    for _ in range(passes):
        net(x).sum().backward()
        net.zero_grad()
    device = x.device.compute
    before = device.pool.in_use
    y = net(x)
    held = device.pool.in_use - before
    device.pool.peak = 0
    y.sum().backward()
    assert device.pool.peak - before < held + 4 * y.nbytes + (1 << 20)
    del y
    assert device.pool.in_use - before < held / 4


@pytest.mark.parametrize("changed", ["input", "weight", "result"])
@pytest.mark.parametrize("state", STATES)
def test_what_is_changed_in_place_is_noticed(changed, state):
    net, x = built("three dimensions", state=state)
    y = net(x)
    with clgrad.no_grad():
        {"input": x, "weight": net[2].weight, "result": y}[changed].add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("first", ["flatten", "linear"])
def test_what_gradients_do_not_use_may_be_changed(first):
    net = nn.Sequential(*[nn.Flatten()] * (first == "flatten"), nn.Linear(6, 4), nn.ReLU())
    x = clgrad.randn(3, 6)
    net(x)
    y = net(x)
    with clgrad.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    y.sum().backward()
    y = net(x)
    (g,) = clgrad.autograd.grad(y.sum(), net[-2].weight, create_graph=True)
    assert g.shape == (4, 6)
    y = net(x)
    with clgrad.no_grad():
        net[-2].bias.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        clgrad.autograd.grad(y.sum(), net[-2].weight, create_graph=True)
    y = net(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_result_that_nobody_keeps_may_be_changed():
    net, x = built("ends in a pool")
    y = net(x)
    y.mul_(2)
    y.sum().backward()
    found, x.grad = x.grad, None
    one_by_one(net, x).mul_(2).sum().backward()
    assert clgrad.allclose(found, x.grad)


def test_hooks_on_saved_tensors_see_what_is_between():
    net, x = built("wide")
    shapes = []
    with clgrad.autograd.graph.saved_tensors_hooks(lambda t: shapes.append(tuple(t.shape)) or t, lambda t: t):
        net(x)
    assert (33, 70) in shapes and (33, 90) in shapes


@pytest.mark.parametrize("state", STATES)
def test_memory_shared_with_numpy(state):
    net, _ = built("wide", clgrad.float32, state)
    values = np.random.default_rng(0).standard_normal((33, 40)).astype(np.float32)
    x = clgrad.from_numpy(values)
    first = net(x).detach().clone()
    values *= 2
    assert clgrad.allclose(net(x), one_by_one(net, x.clone()), atol=1e-6) and not clgrad.allclose(net(x), first)


def test_channels_last_is_kept():
    net, x = built("LeNet", clgrad.float32)
    net, x = net.to(memory_format=clgrad.channels_last), x.detach().expand(3, 1, 16, 16)
    assert net[:3](x).stride() == one_by_one(net[:3], x).stride()


def test_errors_are_the_layers_own():
    net, x = built("wide")
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        net(x[:, :30])
    with pytest.raises(TypeError, match="must be Tensor"):
        net([1.0])
    with pytest.raises(RuntimeError):
        net(x.float())


def test_a_part_of_a_larger_tensor():
    net, x = built("wide", clgrad.float32, "repeated")
    whole = clgrad.randn(99, 40)
    for part in (whole[:33], whole[33:66], whole[66:]):
        assert clgrad.allclose(net(part), one_by_one(net, part), atol=1e-6)


def test_results_have_memory_of_their_own():
    net, x = built("LeNet", clgrad.float32, "repeated")
    first, second = net(x), net(2 * x)
    kept = [t.detach().clone() for t in (first, second)]
    seeds = [clgrad.randn(*first.shape) for _ in range(2)]
    wanted = [x, *net.parameters()]
    gradients = [clgrad.autograd.grad(y, wanted, seed) for y, seed in zip((first, second), seeds, strict=True)]
    copies = [[g.clone() for g in found] for found in gradients]
    net(x).backward(seeds[0])
    for y, copy in zip((first, second), kept, strict=True):
        assert clgrad.equal(y, copy)
    for found, copy in zip(gradients, copies, strict=True):
        assert all(clgrad.equal(a, b) for a, b in zip(found, copy, strict=True))
    for g, t in zip(gradients[0], wanted, strict=True):
        assert clgrad.equal(g, t.grad)


def test_threads_that_repeat_the_same_launches():
    net, x = built("LeNet", clgrad.float32, "repeated")
    inputs = [clgrad.randn(*x.shape) for _ in range(4)]
    expected = [clgrad.autograd.grad(one_by_one(net, value).sum(), net[0].weight)[0] for value in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            found = list(pool.map(lambda value: clgrad.autograd.grad(net(value).sum(), net[0].weight)[0], inputs))
            assert all(clgrad.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip(found, expected, strict=True))
