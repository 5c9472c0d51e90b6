"""Optimizers: equal PyTorch's after ten steps, state both ways, errors, one launch."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest

import clgrad
from clgrad.ops import optimizer_step
from clgrad.ops.update_rule import UpdateRule
from clgrad.optim.adam import adam

SHAPES = [(3, 4), (5,), (70, 70), (), (33,)]
OPTIONS = [
    ("SGD", {}), ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "maximize": True}),
    ("Adam", {}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}),
    ("Adam", {"maximize": True, "lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-4}),
    ("Adam", {"decoupled_weight_decay": True, "weight_decay": 0.2}),
    ("AdamW", {}), ("AdamW", {"amsgrad": True, "weight_decay": 0.3, "lr": 0.1}),
    ("RMSprop", {}), ("RMSprop", {"momentum": 0.9, "weight_decay": 0.1}), ("RMSprop", {"centered": True}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "maximize": True, "alpha": 0.8}),
    ("Adagrad", {}), ("Adadelta", {"rho": 0.8, "weight_decay": 0.1}), ("Adamax", {"maximize": True}),
    ("NAdam", {"momentum_decay": 0.01}), ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"weight_decay": 0.1}), ("Rprop", {"etas": (0.6, 1.4)}), ("ASGD", {"t0": 4, "weight_decay": 0.1}),
    ("Adafactor", {"weight_decay": 0.1}), ("Adafactor", {"maximize": True, "d": 2.0}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.2, "maximize": True}),
]


def run(lib, name, options, data, grads):
    params = [lib.nn.Parameter(lib.tensor(d)) for d in data]
    optimizer = getattr(lib.optim, name)(params, **options)
    for step in grads:
        for p, g in zip(params, step, strict=True):
            p.grad = lib.tensor(g)
        optimizer.step()
    return params, optimizer


def numbers(rng, steps):
    return [[np.float32(rng.standard_normal(s)) for s in SHAPES] for _ in range(steps)]


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=[f"{n}{i}" for i, (n, _) in enumerate(OPTIONS)])
def test_ten_steps(torch, rng, name, options):
    data, grads = numbers(rng, 1)[0], numbers(rng, 10)
    (ours, optimizer), (theirs, reference) = (run(lib, name, options, data, grads) for lib in (clgrad, torch))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=2e-6)
    assert repr(optimizer) == repr(reference)
    saved, wanted = optimizer.state_dict(), reference.state_dict()
    assert [set(g) for g in saved["param_groups"]] == [set(g) for g in wanted["param_groups"]]
    for number, state in wanted["state"].items():
        assert set(saved["state"][number]) == set(state)
        for key, value in state.items():
            np.testing.assert_allclose(saved["state"][number][key].numpy(), value.numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("name", "options"), [OPTIONS[1], OPTIONS[5], OPTIONS[13], OPTIONS[15]])
def test_state_goes_both_ways(torch, rng, tmp_path, name, options):
    data, grads = numbers(rng, 1)[0], numbers(rng, 6)
    want, _ = run(torch, name, options, data, grads)
    for first, second in ((clgrad, torch), (torch, clgrad)):
        params, optimizer = run(first, name, options, data, grads[:3])
        first.save({"p": params, "o": optimizer.state_dict()}, tmp_path / "state.pth")
        loaded = second.load(tmp_path / "state.pth")
        resumed = [second.nn.Parameter(p.detach()) for p in loaded["p"]]
        optimizer = getattr(second.optim, name)(resumed)
        optimizer.load_state_dict(loaded["o"])
        for step in grads[3:]:
            for p, g in zip(resumed, step, strict=True):
                p.grad = second.tensor(g)
            optimizer.step()
        for a, b in zip(resumed, want, strict=True):
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-5, atol=2e-6)


def test_one_launch_for_all_parameters(rng, monkeypatch):
    params, optimizer = run(clgrad, "Adam", {}, numbers(rng, 1)[0], numbers(rng, 2))
    device = clgrad.device("cpu").compute
    launches = []
    monkeypatch.setattr(device, "recorder", lambda bound, *_: launches.append(bound.kernel.name))
    optimizer.step()
    assert launches == ["optimizer_step"]


def test_many_parameters_are_split(torch, rng):
    data = [rng.standard_normal(3).astype(np.float32) for _ in range(90)]
    grads = [[rng.standard_normal(3).astype(np.float32) for _ in range(90)] for _ in range(2)]
    ours, theirs = (run(lib, "Adam", {}, data, grads)[0] for lib in (clgrad, torch))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_dtypes(torch, dtype):
    found = []
    for lib in (clgrad, torch):
        p = lib.nn.Parameter(lib.arange(11.0).to(getattr(lib, dtype)))
        p.grad = lib.ones(11).to(getattr(lib, dtype))
        optimizer = lib.optim.SGD([p], lr=0.1, momentum=0.9)
        optimizer.step()
        optimizer.step()
        found.append(p.detach().float().numpy())
    np.testing.assert_allclose(*found, rtol=1e-2 if "16" in dtype else 1e-12, atol=1e-2 if "16" in dtype else 0)


def test_layouts(torch, rng):
    """Transposed, sliced and offset parameters, gradients of another layout."""
    values, grad = rng.standard_normal((6, 4)).astype(np.float32), rng.standard_normal((4, 6)).astype(np.float32)
    found = []
    for lib in (clgrad, torch):
        base = lib.tensor(values)
        params = [base.clone().t().requires_grad_(), lib.tensor(values)[1:, ::2].detach().requires_grad_(),
                  lib.tensor(values)[2:].detach().requires_grad_()]
        params[0].grad, params[1].grad, params[2].grad = (
            lib.tensor(grad), lib.tensor(grad[:2, :5]).t(), lib.tensor(grad[:, :4]))
        optimizer = lib.optim.Adam(params, lr=0.1)
        optimizer.step()
        optimizer.step()
        found.append([p.detach().numpy() for p in params])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_memory_shared_with_an_array():
    array = np.ones(4, np.float32)
    p = clgrad.from_numpy(array).requires_grad_()
    p.grad = clgrad.ones(4)
    clgrad.optim.SGD([p], lr=0.5).step()
    assert array.tolist() == [0.5] * 4


def test_changes_are_noticed_by_saved_tensors():
    p = clgrad.nn.Parameter(clgrad.ones(2))
    loss = (p * p).sum()
    p.grad = clgrad.ones(2)
    clgrad.optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_parameters_that_join_later(torch):
    found = []
    for lib in (clgrad, torch):
        a, b = lib.nn.Parameter(lib.ones(2)), lib.nn.Parameter(lib.ones(2))
        optimizer = lib.optim.Adam([a, b], lr=0.1)
        for step in range(4):
            a.grad = lib.ones(2)
            b.grad = lib.ones(2) * 0.5 if step > 1 else None
            optimizer.step()
        found.append([a.tolist(), b.tolist(), [float(optimizer.state[p]["step"]) for p in (a, b)]])
    for x, y in zip(*found, strict=True):
        assert x == pytest.approx(y)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs(torch, search):
    """Rosenbrock's valley, step by step as PyTorch goes."""
    found = []
    for lib in (clgrad, torch):
        x = lib.nn.Parameter(lib.tensor([-0.5, 0.8], dtype=lib.float64))
        optimizer = lib.optim.LBFGS([x], lr=0.1 if search is None else 1.0, max_iter=6, line_search_fn=search)

        def closure(x=x, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (1 - x[0]) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2
            loss.backward()
            return loss
        found.append([*[float(optimizer.step(closure).detach()) for _ in range(4)], *x.tolist()])
        assert optimizer.state_dict()["state"][0].keys() >= {"func_evals", "n_iter", "old_dirs", "prev_loss"}
    assert found[0] == pytest.approx(found[1], rel=1e-6)


def test_muon(torch, rng):
    data, grad = (rng.standard_normal((6, 4)).astype(np.float32) for _ in range(2))
    found = []
    for lib in (clgrad, torch):
        p = lib.nn.Parameter(lib.tensor(data))
        p.grad = lib.tensor(grad)
        lib.optim.Muon([p], lr=0.1, adjust_lr_fn="match_rms_adamw").step()
        found.append(p.detach().numpy())
    np.testing.assert_allclose(*found, atol=3e-3)  # bfloat16 inside
    with pytest.raises(ValueError, match="only supports 2D"):
        clgrad.optim.Muon([clgrad.nn.Parameter(clgrad.ones(2))])


def test_rates_that_are_tensors(torch):
    found = []
    for lib in (clgrad, torch):
        p = lib.nn.Parameter(lib.ones(3))
        optimizer = lib.optim.Adam([p], lr=lib.tensor(0.1))
        schedule = lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        for _ in range(3):
            p.grad = lib.ones(3)
            optimizer.step()
            schedule.step()
        found.append([*p.tolist(), float(optimizer.param_groups[0]["lr"])])
    assert found[0] == pytest.approx(found[1])


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_differentiable_step(torch, name):
    """The gradient of a parameter after a step with respect to the gradient that the step took."""
    found = []
    for lib in (clgrad, torch):
        start = lib.tensor([1.0, -2.0], dtype=lib.float64, requires_grad=True)
        p = start.clone()
        g = lib.tensor([0.3, 0.5], dtype=lib.float64, requires_grad=True)
        p.grad = g
        getattr(lib.optim, name)([p], lr=0.1, differentiable=True).step()
        (p * p).sum().backward()
        found.append([*start.grad.tolist(), *g.grad.tolist()])
    assert found[0] == pytest.approx(found[1], rel=1e-6, abs=1e-9)


def test_the_product_of_nadam_may_have_a_gradient(torch):
    found = []
    for lib in (clgrad, torch):
        p = lib.tensor([1.0, -2.0], dtype=lib.float64, requires_grad=True) * 1
        p.grad = lib.tensor([0.3, 0.5], dtype=lib.float64)
        optimizer = lib.optim.NAdam([p], lr=0.1, differentiable=True)
        product = lib.tensor(0.7, dtype=lib.float64, requires_grad=True)
        optimizer.state[p].update(step=lib.tensor(10.0), mu_product=product.clone(),
                                  exp_avg=lib.zeros(2, dtype=lib.float64), exp_avg_sq=lib.ones(2, dtype=lib.float64))
        optimizer.step()
        (p.sum() + optimizer.state[p]["mu_product"]).backward()
        found.append([*p.tolist(), product.grad.item()])
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_hooks_around_state(tmp_path):
    p = clgrad.nn.Parameter(clgrad.ones(2))
    optimizer = clgrad.optim.SGD([("w", p)], lr=0.1)
    seen = []
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("second"))
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "more": 1})
    optimizer.register_load_state_dict_pre_hook(lambda o, state: seen.append(state["more"]))
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(len(args)))
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()
    assert seen == ["first", "second", 1, "loaded", 1]
    assert optimizer.param_groups[0]["param_names"] == ["w"]
    with pytest.raises(ValueError, match="cannot add param group without names"):
        optimizer.add_param_group({"params": [clgrad.nn.Parameter(clgrad.ones(1))]})


def test_an_optimizer_around_another_needs_no_init():
    class Around(clgrad.optim.Optimizer):
        def __init__(self, inner):
            self.inner = inner

        def step(self, closure=None):
            return self.inner.step(closure)

    p, seen = clgrad.nn.Parameter(clgrad.ones(1)), []
    inner = clgrad.optim.SGD([p], lr=1.0)
    inner.register_step_post_hook(lambda *args: seen.append(1))
    p.sum().backward()
    Around(inner).step()
    assert p.item() == 0.0 and seen == [1]


def test_groups_closures_and_hooks():
    a, b = clgrad.nn.Parameter(clgrad.ones(1)), clgrad.nn.Parameter(clgrad.ones(1))
    optimizer = clgrad.optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1)
    seen = []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))

    def closure():
        optimizer.zero_grad()
        loss = (a + b).sum()
        loss.backward()
        return loss
    assert optimizer.step(closure).item() == 2.0
    assert a.item() == pytest.approx(0.9) and b.item() == 0.0 and seen == [1]
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.item() == 0.0


def test_copies():
    p = clgrad.nn.Parameter(clgrad.ones(2))
    p.grad = clgrad.ones(2)
    optimizer = clgrad.optim.Adam([p])
    optimizer.step()
    assert copy.deepcopy(optimizer).state_dict()["state"][0]["step"].item() == 1.0
    assert pickle.loads(pickle.dumps(optimizer)).param_groups[0]["lr"] == 1e-3


@pytest.mark.parametrize(("make", "error", "words"), [
    (lambda p: clgrad.optim.SGD([], lr=0.1), ValueError, "empty parameter list"),
    (lambda p: clgrad.optim.SGD(p, lr=0.1), TypeError, "iterable of Tensors or dicts, but got torch.FloatTensor"),
    (lambda p: clgrad.optim.SGD([1], lr=0.1), TypeError, "can only optimize Tensors, but one of the params is int"),
    (lambda p: clgrad.optim.SGD([p * 2], lr=0.1), ValueError, "non-leaf"),
    (lambda p: clgrad.optim.SGD([p], lr=-1), ValueError, "Invalid learning rate: -1"),
    (lambda p: clgrad.optim.SGD([p], momentum=-1), ValueError, "Invalid momentum value: -1"),
    (lambda p: clgrad.optim.SGD([p], nesterov=True), ValueError, "Nesterov momentum requires"),
    (lambda p: clgrad.optim.Adam([p], fused=True, foreach=True), RuntimeError, "cannot be `True` together"),
    (lambda p: clgrad.optim.Adam([p], betas=(clgrad.tensor(0.9), 0.9)), ValueError, "both floats or both Tensors"),
    (lambda p: clgrad.optim.SGD([p], lr=clgrad.ones(2)), ValueError, "Tensor lr must be 1-element"),
    (lambda p: clgrad.optim.Rprop([p], etas=(1.0, 0.5)), ValueError, "Invalid eta values: 1.0, 0.5"),
    (lambda p: clgrad.optim.Adafactor([p], d=0.0), ValueError, "Clipping threshold d should be >= 1"),
    (lambda p: clgrad.optim.LBFGS([{"params": [p]}, {"params": [clgrad.nn.Parameter(clgrad.ones(1))]}]), ValueError,
     "per-parameter options"),
    (lambda p: clgrad.optim.Adam([p], betas=(1.0, 0.9)), ValueError, "Invalid beta parameter at index 0: 1.0"),
    (lambda p: clgrad.optim.SGD([{"params": [p]}, {"params": [p]}]), ValueError, "more than one parameter group"),
    (lambda p: clgrad.optim.SGD([{"params": {p}}]), TypeError, "ordered collections"),
    (lambda p: clgrad.optim.SGD([p]).load_state_dict({"state": {}, "param_groups": []}), ValueError,
     "different number of parameter groups"),
    (lambda p: clgrad.optim.SGD([p]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}), ValueError,
     "doesn't match the size"),
])
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make(clgrad.nn.Parameter(clgrad.ones(2)))


def test_gradient_of_another_shape_is_refused():
    with pytest.raises(RuntimeError, match=r"shape \[2\] has a gradient or state of shape \[3\]"):
        optimizer_step.step(UpdateRule(("p = p - g * lr",), ()), [clgrad.ones(2), clgrad.ones(3)], {"lr": 0.1})


def test_rprop_can_be_differentiated_through():
    start = clgrad.tensor([1.0, -2.0], dtype=clgrad.float64, requires_grad=True)
    weight = start * 1.0
    optimizer = clgrad.optim.Rprop([weight], lr=0.1, differentiable=True)
    weight.retain_grad()
    weight.grad = clgrad.tensor([0.5, -0.5], dtype=clgrad.float64)
    optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), [0.9, -1.9])
    (slope,) = clgrad.autograd.grad(weight.sum(), start)
    assert slope.tolist() == [1.0, 1.0]


def test_lbfgs_begins_where_the_gradient_is_zero_without_a_division():
    weight = clgrad.zeros(3, requires_grad=True)
    optimizer = clgrad.optim.LBFGS([weight], tolerance_grad=-1.0)

    def closure():
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss
    assert float(optimizer.step(closure)) == 0.0
    assert weight.tolist() == [0.0, 0.0, 0.0]


def test_rmsprop_keeps_its_state_in_pytorchs_order():
    weight = clgrad.ones(2, requires_grad=True)
    optimizer = clgrad.optim.RMSprop([weight], momentum=0.1, centered=True)
    weight.sum().backward()
    optimizer.step()
    assert list(optimizer.state[weight]) == ["step", "square_avg", "momentum_buffer", "grad_avg"]


# A function of torch.optim, the lists of states that it takes (a letter for each: t tensor, n none, c counter), its settings.
ADAM = {"beta1": 0.8, "beta2": 0.9, "lr": 0.1, "weight_decay": 0.1, "eps": 1e-6}
FUNCTIONS = [
    ("adadelta", "ttc", {"lr": 0.5, "rho": 0.8, "eps": 1e-5, "weight_decay": 0.1, "maximize": False}),
    ("adagrad", "tc", {"lr": 0.1, "weight_decay": 0.0, "lr_decay": 0.1, "eps": 1e-8, "maximize": True}),
    ("adam", "tttc", {**ADAM, "amsgrad": True, "maximize": False}),
    ("adam", "tt-c", {**ADAM, "amsgrad": False, "maximize": True, "decoupled_weight_decay": True}),
    ("adamw", "tt-c", {**ADAM, "amsgrad": False, "maximize": False}), ("adamax", "ttc", ADAM),
    ("asgd", "tccc", {"lambd": 0.1, "lr": 0.1, "t0": 2.0, "alpha": 0.7, "weight_decay": 0.1}),
    ("nadam", "ttcc", {**ADAM, "momentum_decay": 0.01}), ("radam", "ttc", ADAM),
    ("rmsprop", "tttc", {"lr": 0.1, "alpha": 0.8, "eps": 1e-8, "weight_decay": 0.1, "momentum": 0.5, "centered": True}),
    ("rmsprop", "t--c", {"lr": 0.1, "alpha": 0.8, "eps": 1e-8, "weight_decay": 0.1, "momentum": 0, "centered": False}),
    ("rprop", "ttc", {"step_size_min": 0.01, "step_size_max": 1.0, "etaminus": 0.5, "etaplus": 1.2}),
    ("sgd", "n", {"weight_decay": 0.1, "momentum": 0.9, "lr": 0.1, "dampening": 0.1, "nesterov": False, "maximize": False}),
    ("sgd", "-", {"weight_decay": 0.0, "momentum": 0, "lr": 0.1, "dampening": 0, "nesterov": False, "maximize": True}),
]


@pytest.mark.parametrize(("name", "kinds", "settings"), FUNCTIONS, ids=[f"{n}{i}" for i, (n, *_) in enumerate(FUNCTIONS)])
def test_steps_as_functions(torch, rng, name, kinds, settings):
    data, grads, starts = numbers(rng, 1)[0], numbers(rng, 3), numbers(rng, 3)
    results = []
    for lib in (clgrad, torch):
        function = getattr(importlib.import_module(f"{lib.__name__}.optim.{name}"), name)
        params = [lib.tensor(d) for d in data]
        # The first, which may be a mean square, is larger than the square of any other, which may be a mean.
        states = [{"t": [lib.tensor(abs(s) + 30 * (n == 0)) for s in starts[n % 3]], "n": [None] * len(params), "-": [],
                   "c": [lib.tensor(1.0) for _ in params]}[kind] for n, kind in enumerate(kinds)]
        before = [t for row in states for t in row if t is not None]
        for step in grads:
            function(params, [lib.tensor(g) for g in step], *states, **settings)
        after = [t for row in states for t in row]
        assert kinds == "n" or all(a is b for a, b in zip(before, after, strict=True)), "states change in place"
        results.append([*params, *after])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-6)


def test_steps_as_functions_refuse_what_they_cannot_do():
    settings = {"beta1": 0.9, "beta2": 0.99, "lr": 0.1, "weight_decay": 0.0, "eps": 1e-8, "amsgrad": False, "maximize": False}

    def lists():
        return [clgrad.ones(2)], [clgrad.ones(2)], [clgrad.zeros(2)], [clgrad.zeros(2)], [], [clgrad.tensor(0.0)]
    with pytest.raises(RuntimeError, match="`state_steps` argument must contain a list of singleton tensors"):
        adam(*lists()[:-1], [0.0], **settings)
    with pytest.raises(AssertionError, match="Expected grad_scale and found_inf to be None"):
        adam(*lists(), grad_scale=clgrad.ones(()), found_inf=clgrad.zeros(()), **settings)
    leaf = [clgrad.ones(2, requires_grad=True)]
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        adam(leaf, *lists()[1:], **settings)
    assert leaf[0].tolist() == [1.0, 1.0]
    with pytest.raises(IndexError):
        adam(*lists()[:2], [], *lists()[3:], **settings)


def test_a_step_as_a_function_is_differentiable():
    start = clgrad.tensor([1.0, -2.0], dtype=clgrad.float64, requires_grad=True)
    rate = clgrad.tensor(0.5, dtype=clgrad.float64, requires_grad=True)
    weight, velocity = start * 1.0, [start * 2.0]
    clgrad.optim.SGD.change([weight], [start * start], {"momentum_buffer": velocity}, differentiable=True, lr=rate,
                            momentum=0.5, weight_decay=0, dampening=0, nesterov=False, maximize=False)
    slopes = clgrad.autograd.grad(weight.sum(), (start, rate))
    np.testing.assert_allclose(slopes[0].numpy(), [1 - 0.5 * (1 + 2), 1 - 0.5 * (1 - 4)])
    np.testing.assert_allclose(slopes[1].item(), -(1 + 1 - 2 + 4))
