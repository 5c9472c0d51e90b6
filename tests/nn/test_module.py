"""Module's own rules: attributes, lists, state, hooks, copies."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import namedtuple

import pytest

import clgrad
import clgrad.nn.functional as F
from clgrad import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(clgrad.ones(4))
        self.register_buffer("seen", clgrad.zeros(1))
        self.register_buffer("scratch", clgrad.zeros(1), persistent=False)

    def forward(self, x):
        return self.norm(self.fc(x)) * self.scale


def test_names():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["scale", "fc.weight", "fc.bias", "norm.weight", "norm.bias"]
    assert list(net.state_dict()) == ["scale", "seen", "fc.weight", "fc.bias", "norm.weight", "norm.bias",
                                      "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert [n for n, _ in net.named_modules()] == ["", "fc", "norm"]
    assert net.get_parameter("fc.weight") is net.fc.weight and net.get_submodule("fc") is net.fc
    assert net.get_buffer("norm.running_mean") is net.norm.running_mean
    with pytest.raises(AttributeError, match="Linear has no attribute `x`"):
        net.get_parameter("fc.x")


def test_attribute_rules():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'torch.FloatTensor' as parameter 'scale'"):
        net.scale = clgrad.ones(4)
    with pytest.raises(TypeError, match="cannot assign 'int' as child module 'fc'"):
        net.fc = 3
    with pytest.raises(TypeError, match="cannot assign 'int' as buffer 'seen'"):
        net.seen = 3
    net.scale = None
    assert net.scale is None and "scale" not in net.state_dict()
    del net.fc
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'fc'"):
        _ = net.fc
    with pytest.raises(KeyError, match="attribute 'forward' already exists"):
        net.register_parameter("forward", nn.Parameter(clgrad.ones(1)))
    with pytest.raises(KeyError, match="contain"):
        net.add_module("a.b", nn.ReLU())
    with pytest.raises(ValueError, match="non-leaf"):
        net.register_parameter("p", nn.Parameter(clgrad.ones(1)) and _non_leaf())

    class Early(nn.Module):
        def __init__(self):
            self.p = nn.Parameter(clgrad.ones(1))
    with pytest.raises(AttributeError, match="before Module.__init__"):
        Early()


def _non_leaf():
    made = nn.Parameter(clgrad.ones(1))
    result = made * 2
    made._grad_fn, made._output_nr = result.grad_fn, 0
    return made


def test_load_errors_name_everything():
    net = Net()
    state = net.state_dict()
    del state["scale"]
    state["fc.weight"] = clgrad.ones(2, 2)
    state["extra.key"] = clgrad.ones(1)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    assert str(caught.value) == (
        'Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "scale". \n\t'
        'Unexpected key(s) in state_dict: "extra.key". \n\t'
        "size mismatch for fc.weight: copying a param with shape torch.Size([2, 2]) from checkpoint, the shape in "
        "current model is torch.Size([4, 3]).")
    del state["fc.weight"]
    found = net.load_state_dict(state, strict=False)
    assert found.unexpected_keys == ["extra.key"] and found.missing_keys == ["scale", "fc.weight"]
    assert str(net.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict(3)


def test_assign_takes_the_tensors():
    net, other = Net(), Net().double()
    net.load_state_dict(other.state_dict(), assign=True)
    assert net.fc.weight.dtype is clgrad.float64 and isinstance(net.fc.weight, nn.Parameter)
    assert net.fc.weight.data_ptr() == other.fc.weight.data_ptr()


def test_state_dict_shares_memory_and_prefix():
    net = Net()
    net.state_dict()["scale"].fill_(5)
    assert net.scale.tolist() == [5.0] * 4
    assert "model.fc.bias" in net.state_dict(prefix="model.")


def test_modes_types_and_gradients():
    net = Net().eval()
    assert not net.norm.training and net.train().norm.training
    net.double()
    assert net.fc.weight.dtype is clgrad.float64 and net.norm.num_batches_tracked.dtype is clgrad.int64
    net.to(clgrad.float32).to("cpu")
    net(clgrad.randn(5, 3)).sum().backward()
    assert net.fc.weight.grad is not None
    net.zero_grad()
    assert net.fc.weight.grad is None
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    with pytest.raises(TypeError, match="floating point"):
        net.to(clgrad.int32)
    called = []
    net.apply(lambda m: called.append(type(m).__name__))
    assert called == ["Linear", "BatchNorm1d", "Net"]


def test_forward_hooks():
    layer = nn.ReLU()
    with layer.register_forward_pre_hook(lambda m, args: args[0] + 1), \
            layer.register_forward_hook(lambda m, args, out: out * 10):
        assert layer(clgrad.tensor([1.0])).tolist() == [20.0]
    assert layer(clgrad.tensor([1.0])).tolist() == [1.0]
    layer.register_forward_hook(lambda m, args, kwargs, out: out + kwargs.get("more", 0), with_kwargs=True)
    assert layer(clgrad.tensor([1.0])).tolist() == [1.0]


def test_backward_hooks(torch):
    found = []
    for lib in (clgrad, torch):
        layer = lib.nn.Tanh()
        seen = []
        layer.register_full_backward_pre_hook(lambda m, g: (g[0] * 2,))
        layer.register_full_backward_hook(
            lambda m, gi, go, seen=seen: seen.append((gi[0].tolist(), go[0].tolist())) or (gi[0] * 3,))
        x = lib.tensor([0.5, -1.0], requires_grad=True)
        layer(x).sum().backward()
        found.append([*seen[0], x.grad.tolist()])
    for a, b in zip(*found, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


def test_copies():
    net = Net()
    other = copy.deepcopy(net)
    assert isinstance(other.scale, nn.Parameter) and other.scale.data_ptr() != net.scale.data_ptr()
    again = pickle.loads(pickle.dumps(net))
    assert again.fc.weight.tolist() == net.fc.weight.tolist() and again.fc.weight.requires_grad
    assert "scratch" not in again.state_dict()


def test_tied_parameters_are_listed_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    assert len(list(net.parameters())) == 3 and len(net.state_dict()) == 4


def test_sequential():
    net = nn.Sequential(nn.ReLU(), nn.Tanh())
    net.append(nn.Sigmoid()).insert(0, nn.Identity())
    assert [type(m).__name__ for m in net] == ["Identity", "ReLU", "Tanh", "Sigmoid"]
    assert type(net[-1]).__name__ == "Sigmoid" and len(net[1:3]) == 2
    del net[0]
    assert list(net._modules) == ["0", "1", "2"]
    with pytest.raises(IndexError):
        _ = net[7]


def test_buffers_and_parameters_as_classes():
    module = nn.Module()
    module.b = nn.Buffer(clgrad.ones(2), persistent=False)
    assert list(dict(module.named_buffers())) == ["b"] and module.state_dict() == {}
    p = nn.Parameter(clgrad.tensor([1.0]))
    assert repr(p) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert isinstance(p * 1, clgrad.Tensor) and not isinstance(p * 1, nn.Parameter)
    with pytest.raises(RuntimeError, match="floating point"):
        nn.Parameter(clgrad.tensor([1]))


def test_a_classs_own_register_buffer_gets_buffers():
    class Noting(nn.Module):
        def register_buffer(self, name, tensor):
            super().register_buffer(name + "_kept", tensor)

    module = Noting()
    module.b = nn.Buffer(clgrad.ones(2))
    assert list(module.state_dict()) == ["b_kept"]
    with pytest.raises(RuntimeError, match="persistent"):
        module.c = nn.Buffer(clgrad.ones(2), persistent=False)


@pytest.mark.parametrize(("module", "shape", "error", "words"), [
    (nn.Linear(784, 10), (4, 700), RuntimeError, "linear.*expected.*784.*got .4, 700"),
    (nn.Conv2d(3, 8, 3), (1, 4, 9, 9), RuntimeError, "to have 3 channels, but got 4 channels"),
    (nn.Conv2d(3, 8, 3), (9, 9), RuntimeError, "Expected 3D .unbatched. or 4D .batched. input to conv2d"),
    (nn.BatchNorm2d(3), (2, 3), ValueError, "expected 4D input .got 2D input"),
    (nn.BatchNorm1d(3), (2, 4), RuntimeError, "running_mean should contain 4 elements not 3"),
    (nn.BatchNorm1d(3), (1, 3), ValueError, "Expected more than 1 value per channel"),
    (nn.LayerNorm(3), (2, 4), RuntimeError, "normalized_shape=.3., expected input with shape .., 3., but got"),
    (nn.GroupNorm(2, 4), (2, 5, 3), RuntimeError, "divisible by num_groups"),
    (nn.Module(), (1,), NotImplementedError, "missing the required \"forward\""),
])
def test_wrong_shapes_are_explained(module, shape, error, words):
    with pytest.raises(error, match=words):
        module(clgrad.zeros(shape))


def test_dropout_is_for_training():
    layer = nn.Dropout(0.5)
    x = clgrad.ones(1000)
    kept = (layer(x) != 0).sum().item()
    assert 400 < kept < 600 and set(layer(x).tolist()) == {0.0, 2.0}
    assert layer.eval()(x) is x
    channels = nn.Dropout2d(0.5)(clgrad.ones(20, 10, 2, 2))
    assert set(channels.sum((2, 3)).flatten().tolist()) == {0.0, 8.0}
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_vectors_of_parameters():
    net = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(clgrad.arange(9.0), net.parameters())
    assert vector.shape == (9,) and net.bias.tolist() == [6.0, 7.0, 8.0]


def test_a_handle_takes_a_hook_out_of_all_its_dictionaries_and_keeps_no_module_alive():
    layer = nn.Linear(2, 2)
    handle = layer.register_forward_hook(lambda m, a, k, r: r, with_kwargs=True, always_call=True)
    assert handle.id in layer._forward_hooks_with_kwargs and handle.id in layer._forward_hooks_always_called
    assert handle.hooks_dict_ref() is layer._forward_hooks
    handle.remove()
    assert not layer._forward_hooks_with_kwargs and not layer._forward_hooks_always_called
    layer.register_load_state_dict_pre_hook(lambda module, *rest: None)
    reference = weakref.ref(layer)
    gc.disable()
    try:
        del layer
        assert reference() is None
    finally:
        gc.enable()


def test_regular_and_full_backward_hooks_are_not_mixed_and_the_regular_one_hangs_at_the_last_node():
    layer, seen = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), []
    layer.register_backward_hook(lambda module, grad_input, grad_output: seen.append(grad_output[0].tolist()))
    with pytest.raises(RuntimeError, match="both regular backward hooks and full"):
        layer.register_full_backward_hook(lambda *arguments: None)
    with pytest.warns(FutureWarning, match="the forward contains multiple autograd Nodes"):
        layer(clgrad.ones(1, 3)).sum().backward()
    assert seen == [[[1.0, 1.0, 1.0]]]


def test_backward_hooks_of_named_tuples_and_of_results_that_are_no_tensors():
    Pair = namedtuple("Pair", "a b")

    class Splits(nn.Module):
        def forward(self, x):
            return Pair(x * 2, x * 3)

    module, seen = Splits(), []
    module.register_full_backward_hook(lambda m, grad_input, grad_output: seen.append(len(grad_output)))
    out = module(clgrad.ones(2, requires_grad=True))
    assert isinstance(out, Pair)
    out.a.sum().backward()
    assert seen == [2]

    class Names(nn.Module):
        def forward(self, x):
            return {"x": x}

    module = Names()
    module.register_full_backward_hook(lambda *arguments: None)
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple of Tensors"):
        module(clgrad.ones(2, requires_grad=True))


@pytest.mark.parametrize("way", ["overwrite", "swap"])
def test_conversions_put_new_parameters_or_exchange_them(way):
    layer = nn.Linear(2, 3)
    before = layer.weight
    setter = getattr(clgrad.__future__, f"set_{way}_module_params_on_conversion")
    setter(True)
    try:
        assert getattr(clgrad.__future__, f"get_{way}_module_params_on_conversion")()
        layer.double()
    finally:
        setter(False)
    assert layer.weight.dtype is clgrad.float64 and isinstance(layer.weight, nn.Parameter)
    assert (layer.weight is before) == (way == "swap")


CHANNELS_LAST = {
    "conv2d": lambda x: F.conv2d(x, clgrad.ones(4, 3, 3, 3)),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "max_pool2d": lambda x: F.max_pool2d(x, 2, return_indices=True)[0], "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 3), "interpolate": lambda x: F.interpolate(x, scale_factor=2),
    "dropout": F.dropout, "group_norm": lambda x: F.group_norm(x, 3), "pad": lambda x: F.pad(x, (1, 1)),
    "fused": lambda x: nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())(x)}


@pytest.mark.parametrize("name", CHANNELS_LAST)
def test_results_lie_in_memory_as_the_input_does(name):
    x = clgrad.arange(2 * 3 * 6 * 6, dtype=clgrad.float32).view(2, 3, 6, 6)
    clgrad.manual_seed(1)
    expected = CHANNELS_LAST[name](x)
    other = x.to(memory_format=clgrad.channels_last).requires_grad_()
    clgrad.manual_seed(1)
    out = CHANNELS_LAST[name](other)
    assert out.is_contiguous(memory_format=clgrad.channels_last)
    assert out.grad_fn.name() != "CloneBackward0"
    if name not in ("dropout", "fused"):
        assert clgrad.equal(out, expected)
    out.sum().backward()
    assert other.grad.is_contiguous(memory_format=clgrad.channels_last)


def test_a_module_converts_weights_to_a_memory_format():
    layer = nn.Conv2d(2, 3, 3).to(memory_format=clgrad.channels_last)
    assert layer.weight.is_contiguous(memory_format=clgrad.channels_last)
    assert layer(clgrad.ones(1, 2, 5, 5)).is_contiguous(memory_format=clgrad.channels_last)


def test_a_replica_has_dictionaries_of_its_own(torch):
    for t in (torch, clgrad):
        layer = t.nn.BatchNorm1d(3)
        layer.own = 5
        replica = layer._replicate_for_data_parallel()
        replica.running_mean = t.ones(3)
        assert type(replica) is type(layer) and replica.own == 5 and replica._is_replica
        assert not list(replica.parameters()) and layer.running_mean.sum() == 0 and replica.running_var is layer.running_var


def test_compiled_modules_are_modules_around_the_given_one(torch):
    found = []
    for lib in (clgrad, torch):
        net = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.BatchNorm1d(2))
        net.scale = 3
        made = lib.compile(net, backend="eager")
        assert made._orig_mod is net
        made.scale = 4
        made.eval()
        assert lib.compile(net, disable=True) is net
        found.append((type(made).__name__, list(made.state_dict()), net.scale, net.training, made.training, repr(made),
                      [name for name, _ in made.named_modules()]))
    assert found[0] == found[1]
    net = clgrad.nn.Linear(2, 3)
    made = clgrad.compile(net)
    x = clgrad.ones(1, 2)
    assert made(x).tolist() == net(x).tolist()
    copied = copy.deepcopy(made)
    copied.load_state_dict(made.state_dict())
    assert copied._orig_mod is not net
    with pytest.raises(AttributeError, match="nothing"):
        getattr(made, "nothing")  # noqa: B009
