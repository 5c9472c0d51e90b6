"""Lazy layers, containers, module trees, states and hooks against PyTorch's behaviour."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import clgrad
from clgrad import nn
from tests.compare import assert_same, assert_same_error, pair

LAZY = {
    "LazyLinear": ((5,), {}, (2, 7)), "LazyConv1d": ((4, 3), {"groups": 2}, (2, 6, 8)),
    "LazyConv2d": ((4, 3), {"padding": 1}, (6, 8, 8)), "LazyConv3d": ((2, 2), {"bias": False}, (1, 2, 3, 3, 3)),
    "LazyConvTranspose1d": ((4, 3, 2), {}, (2, 6, 8)), "LazyConvTranspose2d": ((4, 3), {"output_padding": 1, "stride": 2},
                                                                               (2, 3, 4, 4)),
    "LazyConvTranspose3d": ((2, 2), {}, (1, 2, 3, 3, 3)), "LazyBatchNorm1d": ((), {}, (4, 3)),
    "LazyBatchNorm2d": ((), {"affine": False}, (2, 3, 4, 4)), "LazyBatchNorm3d": ((), {"eps": 0.1}, (2, 3, 2, 2, 2)),
    "LazyInstanceNorm1d": ((), {}, (4, 3, 5)), "LazyInstanceNorm2d": ((), {"affine": False}, (2, 3, 4, 4)),
    "LazyInstanceNorm3d": ((), {"track_running_stats": False}, (2, 3, 2, 2, 2)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", LAZY)
def test_lazy_layers_learn_their_sizes(torch, name):
    args, options, shape = LAZY[name]
    ours, theirs = (getattr(lib.nn, name)(*args, **options) for lib in (clgrad, torch))
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    copied = copy.deepcopy(ours)
    if ours.has_uninitialized_params():
        member = next(iter(ours.state_dict().values()))
        with pytest.raises(RuntimeError, match="uninitialized"):
            _ = member.shape
    x, y = pair(torch, np.random.default_rng(0).normal(size=shape).astype(np.float32))
    ours(x), theirs(y)
    assert type(ours).__name__ == type(theirs).__name__ and repr(ours) == repr(theirs)
    state = {key: clgrad.tensor(value.numpy()) for key, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    assert_same(ours(x).detach(), theirs(y).detach(), 1e-4, 1e-5)
    copied.load_state_dict(state)  # shapes come from the state
    assert_same(copied(x).detach(), ours(x).detach(), 1e-4, 1e-2 if "Norm" in name else 1e-5)


def test_sequential_arithmetic(torch):
    texts = []
    for lib in (clgrad, torch):
        n = lib.nn
        net = n.Sequential(n.ReLU()) + n.Sequential(n.Tanh())
        net = 2 * net * 1
        net += n.Sequential(n.GELU())
        net *= 2
        net.insert(1, n.Sigmoid())
        net.append(n.SiLU()).extend([n.ELU()])
        taken = net.pop(0)
        del net[-1]
        texts.append((repr(net), repr(taken), repr(net[1:3]), len(net)))
    assert texts[0] == texts[1]
    for program in (lambda t: t.nn.Sequential() * 0, lambda t: t.nn.Sequential() * 1.5, lambda t: t.nn.Sequential() + 1,
                    lambda t: t.nn.Sequential()[0], lambda t: t.nn.ModuleList([t.nn.ReLU()])[2]):
        assert_same_error(torch, program)


def test_parameter_dicts(torch):
    found = []
    for lib in (clgrad, torch):
        d = lib.nn.ParameterDict({"a": lib.ones(2)})
        d |= {"b": lib.zeros(1)}
        d.setdefault("c", lib.ones(3))
        other = d.copy()
        key, _ = other.popitem()
        mixed = {"y": lib.ones(1), "x": lib.ones(2)}
        d.update(mixed)
        found.append((list(d), list(lib.nn.ParameterDict(mixed)), list(mixed | d), list(reversed(d)), key,
                      list((d | {"z": lib.ones(1)}).keys()),
                      [n for n, _ in d.named_parameters()], d.get("nothing")))
    assert found[0] == found[1]


def test_set_submodule(torch):
    for lib in (clgrad, torch):
        net = lib.nn.Sequential(lib.nn.Sequential(lib.nn.ReLU()), lib.nn.Tanh())
        net.set_submodule("0.0", lib.nn.GELU())
        net.set_submodule("0.new", lib.nn.SiLU())
        assert [type(m).__name__ for m in net.modules()] == ["Sequential", "Sequential", "GELU", "SiLU", "Tanh"]
    for program in (lambda t: t.nn.Sequential().set_submodule("", t.nn.ReLU()),
                    lambda t: t.nn.Sequential().set_submodule("a", 3),
                    lambda t: t.nn.Sequential().set_submodule("a", t.nn.ReLU(), strict=True),
                    lambda t: t.nn.Linear(1, 1).set_submodule("weight", t.nn.ReLU())):
        assert_same_error(torch, program)


def test_states_carry_versions():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    state = net.state_dict()
    assert state._metadata == {"": {"version": 1}, "0": {"version": 1}, "1": {"version": 2}}
    del state["1.num_batches_tracked"]
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        net.load_state_dict(state)
    kept = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).state_dict()
    kept.pop("1.num_batches_tracked")
    kept._metadata["1"]["version"] = 1
    assert str(net.load_state_dict(kept)) == "<All keys matched successfully>"


def test_modules_that_load_themselves():
    class Renamed(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *args):
            state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}kernel")
            super()._load_from_state_dict(state_dict, prefix, *args)
    net = nn.Sequential(Renamed(2, 2, bias=False))
    net.load_state_dict({"0.kernel": clgrad.ones(2, 2)})
    assert net[0].weight.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_modules_are_pickled_and_moved():
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.LazyLinear(2))
    net = pickle.loads(pickle.dumps(net))
    net(clgrad.ones(4, 2))
    again = pickle.loads(pickle.dumps(net))
    assert_same(again.eval()(clgrad.ones(1, 2)), net.eval()(clgrad.ones(1, 2)))
    empty = net.to_empty(device="cpu")
    assert empty is net and net[0].weight.shape == (3, 2)
    assert net.half()[0].weight.dtype is clgrad.float16 and net[1].num_batches_tracked.dtype is clgrad.int64


def test_adaptive_softmax(torch, rng):
    ours, theirs = (lib.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=True)
                    for lib in (clgrad, torch))
    assert repr(ours) == repr(theirs)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x, y = pair(torch, rng.normal(size=(6, 8)).astype(np.float32), requires_grad=True)
    target, same = pair(torch, [0, 5, 19, 3, 11, 4])
    found, expected = ours(x, target), theirs(y, same)
    assert_same(tuple(found), tuple(expected), 1e-5)
    found.loss.backward(), expected.loss.backward()
    assert_same(x.grad, y.grad, 1e-4, 1e-6)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_same(a.grad, b.grad, 1e-4, 1e-6)
    assert_same(ours.log_prob(x), theirs.log_prob(y), 1e-5)
    assert ours.predict(x).tolist() == theirs.predict(y).tolist()
    for program in (lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [20]),
                    lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 20, []),
                    lambda t: t.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4])(t.ones(1, 8), t.tensor([20]))):
        assert_same_error(torch, program)


def test_losses_of_pairs(torch, rng):
    a, b, c = (pair(torch, rng.normal(size=(5, 4)).astype(np.float32), requires_grad=True) for _ in range(3))
    signs = pair(torch, np.array([1, -1, 1, -1, 1]))
    results = []
    for n, lib in enumerate((clgrad, torch)):
        m = lib.nn
        results.append([
            m.CosineEmbeddingLoss(0.2)(a[n], b[n], signs[n]), m.MarginRankingLoss(0.3)(a[n][:, 0], b[n][:, 0], signs[n]),
            m.TripletMarginLoss(swap=True, p=1.0)(a[n], b[n], c[n]),
            m.TripletMarginWithDistanceLoss(margin=0.5, reduction="sum")(a[n], b[n], c[n]),
            m.GaussianNLLLoss(full=True)(a[n], b[n], c[n].abs()),
            m.LinearCrossEntropyLoss(4, 3).requires_grad_(False)(a[n], signs[n].clamp(0)) * 0])
        sum(results[-1]).backward()
    assert_same(*results, 1e-5)
    for ours, theirs in (a, b, c):
        assert_same(ours.grad, theirs.grad, 1e-4, 1e-6)
    for program in (lambda t: t.nn.TripletMarginLoss(margin=0), lambda t: t.nn.MultiMarginLoss(p=3),
                    lambda t: t.nn.functional.gaussian_nll_loss(t.ones(2), t.ones(2), -t.ones(2)),
                    lambda t: t.nn.functional.binary_cross_entropy(t.tensor([2.0]), t.tensor([1.0])),
                    lambda t: t.nn.functional.cosine_embedding_loss(t.ones(2, 2), t.ones(2, 2), t.ones(2, 2))):
        assert_same_error(torch, program)


def test_old_initialisers_and_sync_norms():
    with pytest.warns(FutureWarning, match="constant_"):
        assert nn.init.constant(clgrad.empty(2), 3.0).tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="fewer than 2"):
        nn.init.xavier_normal_(clgrad.empty(3))
    generators = [clgrad.Generator().manual_seed(3) for _ in range(2)]
    assert len({tuple(nn.init.sparse_(clgrad.empty(9, 1), 0.3, generator=g).flatten().tolist()) for g in generators}) == 1
    net = nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)))
    assert type(net[1]) is nn.SyncBatchNorm and net(clgrad.ones(2, 1, 2, 2)).shape == (2, 2, 2, 2)


def test_activations_in_place(torch, rng):
    data = rng.normal(size=(3, 4)).astype(np.float32)
    for name, args in {"relu_": (), "elu_": (0.5,), "selu_": (), "celu_": (0.5,), "leaky_relu_": (0.1,), "hardtanh_": (),
                       "threshold_": (0.1, 2.0)}.items():
        grads = []
        for lib in (clgrad, torch):
            x = lib.tensor(data, requires_grad=True)
            y = x * 1
            assert getattr(lib.nn.functional, name)(y, *args) is y
            (y * y).sum().backward()
            grads.append((y, x.grad))
        assert_same(*grads, 1e-5, 1e-6)


def test_states_without_a_count_of_batches():
    source, target = clgrad.nn.BatchNorm1d(2), clgrad.nn.Sequential(clgrad.nn.BatchNorm1d(2))
    source.running_mean.fill_(3)
    state = {f"0.{key}": value for key, value in source.state_dict().items() if key != "num_batches_tracked"}
    target.load_state_dict(state)
    assert target[0].running_mean.tolist() == [3, 3]
    assert target[0].num_batches_tracked.item() == 0
