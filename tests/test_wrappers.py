"""Tensors that stand for others: their classes are asked for the operators that PyTorch asks for, with the same arguments."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest

import clgrad
from clgrad.compat.standins import python_dispatch
from clgrad.ops.overloads import aten


def logging_class(library, log, again=False):
    """A class over an inner tensor that writes down what it is asked for; with ``again`` its results stand for others too."""

    class Logged(library.Tensor):
        @staticmethod
        def __new__(cls, held):
            made = library.Tensor._make_wrapper_subclass(cls, held.size(), strides=held.stride(), dtype=held.dtype)
            made.held = held
            return made

        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            log.append((func, unwrapped(args), unwrapped(kwargs or {})))
            result = func(*unwrapped(args), **unwrapped(kwargs or {}))
            return cls(result) if again and isinstance(result, library.Tensor) else result

    def unwrapped(value):
        if isinstance(value, Logged):
            return value.held
        if isinstance(value, (list, tuple)):
            return type(value)(unwrapped(part) for part in value)
        return {key: unwrapped(part) for key, part in value.items()} if isinstance(value, dict) else value
    return Logged


# What a program calls, of a tensor of 2 x 3.
CALLS = {
    "arithmetic": lambda t, x: (x + 1, x * x, x / 2, -x, x ** 2, t.add(x, x, alpha=2), t.sub(x, 1, alpha=3)),
    "operators": lambda t, x: (x.__iadd__(1), x.__imul__(2), 2 ** x, x % 2, abs(x)),
    "whole numbers": lambda t, x: t.ones(2, 3, dtype=t.int64) & type(x)(t.ones(2, 3, dtype=t.int64)),
    "places": lambda t, x: (x.index_select(0, t.tensor([0])), x.gather(0, t.zeros(1, 3, dtype=t.int64)),
                            x.scatter(0, t.zeros(1, 3, dtype=t.int64), 1.0), x.repeat(2, 1)),
    "along dimensions": lambda t, x: (x.sum(0), x.sum((0, 1)), x.mean(1, True), x.amax(0), x.cumsum(0), x.topk(1), x.any(0),
                                      x.all(), x.sum(1, dtype=t.float64), x.prod()),
    "made alike": lambda t, x: (t.ones_like(x), x.new_zeros(2), x.swapaxes(0, 1), x.mT, x.T, t.maximum(x, x)),
    "comparison": lambda t, x: (x > 2, x == 1, x.eq(x)),
    "functions": lambda t, x: (x.exp(), t.relu(x), t.nn.functional.gelu(x), x.abs(), x.clamp(0, 1)),
    "reductions": lambda t, x: (x.sum(), x.mean(), x.max(), x.max(1), x.any(), x.argmax(1)),
    "views": lambda t, x: (x.view(3, 2), x.t(), x.transpose(0, 1), x.permute(1, 0), x.unsqueeze(0), x.expand(2, 2, 3),
                           x.reshape(3, 2), x.flatten(), x.view_as(t.ones(3, 2)), x.reshape_as(t.ones(6))),
    "copies for shapes": lambda t, x: x.t().flatten(),
    "squeezing": lambda t, x: (x.squeeze(), x.squeeze(0), x.squeeze((0, 1))),
    "sorting": lambda t, x: (x.sort(), x.sort(1, True), x.sort(stable=True), t.sort(x, dim=0, descending=True, stable=True)),
    "indexing": lambda t, x: (x[0], x[:, 1:], x[..., 0], x[None], x[::2], x[t.tensor([0, 1])], x[:, t.tensor([1])]),
    "masks": lambda t, x: x[t.tensor([True, False])],
    "parts": lambda t, x: (x.unbind(), x.chunk(2), x.split(1), list(x), x.narrow(1, 1, 2), x.select(1, 0)),
    "joining": lambda t, x: (t.cat([x, x]), t.stack([x, x], 1)),
    "copies": lambda t, x: (x.clone(), x.detach(), x.contiguous(), x.t().contiguous()),
    "dtypes": lambda t, x: (x.to(t.float64), x.to(t.int32, copy=True), x.double(), x.float(), x.bool(), x.type(t.int32),
                            x.to("cpu"), x.cpu(), x.type_as(t.ones(1, dtype=t.int64))),
    "products": lambda t, x: (x @ t.ones(3, 2), t.mm(x, t.ones(3, 2)), x @ t.ones(3), t.ones(2, 4, 2) @ x,
                              t.ones(2, 3, 2).bmm(t.ones(2, 2, 1))),
    "layers": lambda t, x: (t.nn.functional.linear(x, t.ones(2, 3)), t.nn.functional.linear(x, t.ones(2, 3), t.ones(2)),
                            x.softmax(1), x.log_softmax(0), t.nn.functional.mse_loss(x, x),
                            t.nn.functional.embedding(t.tensor([0, 1]), x)),
    "in place": lambda t, x: (x.add_(1), x.add_(x, alpha=2), x.mul_(2), x.copy_(t.ones(2, 3)), x.fill_(2), x.zero_()),
    "assignment": lambda t, x: x.__setitem__((0, 1), 1.0),
    "results": lambda t, x: (t.add(x, 1, out=t.zeros(2, 3)), t.cat([x, x], out=t.zeros(4, 3))),
    "like": lambda t, x: (t.where(x > 0, x, x), t.equal(x, x), t.allclose(x, x), x.masked_fill(x > 1, 0)),
    "numbers": lambda t, x: x.sum().item(),
    "looking": lambda t, x: (x.shape, x.dtype, x.numel(), x.dim(), x.stride(), x.is_floating_point(), x.data_ptr()),
}


def plain(value):
    """Arguments and results as nested lists of rounded numbers, dtypes as their names."""
    if hasattr(value, "held"):
        return plain(value.held)
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if key not in ("pin_memory", "out")}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value if isinstance(value, (int, float, bool, type(None))) else str(value).replace("clgrad", "torch")


@pytest.mark.parametrize("again", [False, True], ids=["plain results", "results that stand for others"])
@pytest.mark.parametrize("name", CALLS)
def test_what_a_class_is_asked_for(name, again):
    torch = pytest.importorskip("torch")
    told = {}
    for library in (torch, clgrad):
        log = []
        x = logging_class(library, log, again)(library.arange(6.).reshape(2, 3))
        results = plain(CALLS[name](library, x))
        told[library] = ([(operator_name(func), plain(args), plain(kwargs)) for func, args, kwargs in log], results)
    assert told[clgrad][0] == told[torch][0]
    assert told[clgrad][1] == told[torch][1]


def operator_name(func):
    """``aten.add`` of ``aten.add.Tensor``; where overloads are told apart, the whole."""
    found = func if hasattr(func, "_overload") else func.overloadpacket
    base = str(found._name if hasattr(func, "_overload") else found._qualified_op_name.rpartition("::")[2])
    overload = func._overload if hasattr(func, "_overload") else func._overloadname
    told_apart = overload == "out" or (base, overload) in (("sort", "stable"), ("squeeze", "dim"), ("squeeze", "dims"))
    return f"{base}.{overload}" if told_apart else base


def test_overloads():
    assert aten.add.Tensor is aten.add.Scalar is aten.add.default
    assert aten.squeeze.dim is not aten.squeeze.default and aten.squeeze.dim is aten.squeeze.dim
    assert aten.cat.out is not aten.cat.default and aten.cat.out.overloadpacket.default(
        [clgrad.ones(1), clgrad.ones(1)]).tolist() == [1, 1]
    assert aten.add_.Tensor.mutates and not aten.add.Tensor.mutates
    assert repr(aten.sort.stable) == "<OpOverload(op='aten.sort', overload='stable')>"


def test_no_memory_is_looked_at():
    x = logging_class(clgrad, [])(clgrad.arange(6.).reshape(2, 3))
    for name, kind, message in (("numpy", RuntimeError, "not supported for tensor subclasses"),
                                ("tolist", RuntimeError, "not supported for tensor subclasses, got Logged"),
                                ("item", RuntimeError, "6 elements cannot be converted to Scalar"),
                                ("untyped_storage", NotImplementedError, "Cannot access data pointer")):
        with pytest.raises(kind, match=message):
            getattr(x, name)()
    assert not x.is_shared() and repr(x) == "Logged([[0., 1., 2.],\n        [3., 4., 5.]])"
    assert repr(logging_class(clgrad, [], again=True)(clgrad.ones(2))) == "Logged(...)"
    for wrong in (lambda: x[0, 0, 0], lambda: x.narrow(0, 1, 2), lambda: x.chunk(0), lambda: x.flatten(1, 0)):
        with pytest.raises((IndexError, RuntimeError)):
            wrong()


def test_nobody_answers():
    class Silent(clgrad.Tensor):
        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            return NotImplemented

    x = Silent._make_wrapper_subclass(Silent, (2,))
    assert x.dtype is clgrad.float32 and x.stride() == (1,)
    with pytest.raises(TypeError, match="Multiple dispatch failed .*Silent"):
        x + 1
    with pytest.raises(RuntimeError, match="must define __torch_dispatch__"):
        clgrad.Tensor._make_wrapper_subclass(clgrad.Tensor, (2,))


class Counting(clgrad.Tensor):
    """Answers for every operator, and has memory all the same; pickled, so it stands in a module."""

    asked = 0

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        cls.asked += 1
        return clgrad.tensor(7.)


def test_tensors_with_memory_of_their_own():
    plain = clgrad.ones(2)
    for x in (plain.as_subclass(Counting), clgrad.Tensor._make_subclass(Counting, plain)):
        before = Counting.asked
        assert (x + 1).item() == 7 and Counting.asked == before + 1
        assert x.data_ptr() == plain.data_ptr() != 0 and x.untyped_storage() == plain.untyped_storage()
        for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
            assert type(made) is Counting and made.untyped_storage().tolist() == plain.untyped_storage().tolist()
    assert plain.share_memory_().is_shared() and x.is_shared()


def quantized_class(library):
    """Weights of 8 bits and a scale for each row, as libraries of quantization write them."""
    from_library = library.ops.aten if hasattr(library, "ops") else aten
    helpers = python_dispatch if library is clgrad else importlib.import_module("torch.utils._python_dispatch")

    class Quantized(library.Tensor):
        @staticmethod
        def __new__(cls, data, scale, turned=False):
            shape = data.shape[::-1] if turned else data.shape
            return library.Tensor._make_wrapper_subclass(cls, shape, dtype=scale.dtype, device=data.device)

        def __init__(self, data, scale, turned=False):
            self.data_of_8_bits, self.scale, self.turned = data, scale, turned

        def __tensor_flatten__(self):
            return ["data_of_8_bits", "scale"], self.turned

        @classmethod
        def __tensor_unflatten__(cls, inner, context, size=None, stride=None):
            return cls(inner["data_of_8_bits"], inner["scale"], context)

        def dequantize(self):
            values = self.data_of_8_bits.to(self.scale.dtype) * self.scale
            return values.t() if self.turned else values

        @classmethod
        def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            if func in (from_library.mm.default, from_library.addmm.default):
                return func(*[value.dequantize() if isinstance(value, cls) else value for value in args])
            own = args[0]
            data, scale, turned = own.data_of_8_bits, own.scale, own.turned
            if func is from_library.detach.default:
                made = cls(data.detach(), scale.detach(), turned)
            elif func is from_library.clone.default:
                made = cls(data.clone(), scale.clone(), turned)
            elif func is from_library.t.default:
                made = cls(data, scale, not turned)
            elif func is from_library._to_copy.default:
                made = cls(data, scale.to(kwargs["dtype"]), turned)
            else:
                raise NotImplementedError(func)
            return helpers.return_and_correct_aliasing(func, args, kwargs, made)
    return Quantized


def quantized_network(library, weights):
    """What a network with quantized weights computes, and its gradients."""
    kind = quantized_class(library)
    layers = library.nn.Sequential(library.nn.Linear(8, 16), library.nn.ReLU(), library.nn.Linear(16, 4, bias=False))
    for layer, weight in zip((layers[0], layers[2]), weights, strict=True):
        weight = library.from_numpy(weight)
        scale = weight.abs().amax(1, keepdim=True) / 127
        layer.weight = library.nn.Parameter(kind((weight / scale).round().to(library.int8), scale), requires_grad=False)
    layers[0].bias.data.zero_()
    assert type(layers[0].weight) is kind and isinstance(layers[0].weight, library.nn.Parameter)
    assert not isinstance(kind(library.ones(1, 1), library.ones(1, 1)), library.nn.Parameter)
    x = library.arange(16.).reshape(2, 8) / 10 - 0.5
    out = layers(x)
    out.sum().backward()
    again = copy.deepcopy(layers)
    assert library.equal(again(x), out) and type(again[2].weight) is kind
    wide = layers.to(library.float64)
    assert wide[2].weight.dtype is library.float64 and type(wide[2].weight) is kind
    return out.detach().numpy(), layers[0].bias.grad.numpy(), wide(x.double()).detach().numpy()


def test_networks_with_quantized_weights():
    torch = pytest.importorskip("torch")
    numbers = np.random.default_rng(0)
    weights = [numbers.standard_normal((16, 8), np.float32), numbers.standard_normal((4, 16), np.float32)]
    for ours, theirs in zip(quantized_network(clgrad, weights), quantized_network(torch, weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_parts_of_a_wrapper():
    kind = quantized_class(clgrad)
    x = kind(clgrad.ones(2, 3, dtype=clgrad.int8), clgrad.full((2, 1), 0.5))
    assert python_dispatch.is_traceable_wrapper_subclass(x) and not python_dispatch.is_traceable_wrapper_subclass(x.scale)
    twice = python_dispatch.transform_subclass(x, lambda name, inner: inner * 2)
    assert twice.dequantize().tolist() == [[2.0] * 3] * 2
    other = copy.deepcopy(x)
    other.scale.zero_()
    assert x.dequantize().sum().item() == 3


class Held(clgrad.Tensor):
    """Pickled below, so it stands in a module."""

    @staticmethod
    def __new__(cls, held):
        made = clgrad.Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return func(*[value.held if isinstance(value, cls) else value for value in args], **(kwargs or {}))


def test_files(tmp_path):
    x = Held(clgrad.arange(3.))
    for read in (pickle.loads(pickle.dumps(x)), saved(x, tmp_path)):
        assert type(read) is Held and read.shape == (3,) and (read + 1).tolist() == [1, 2, 3]


def saved(value, folder):
    clgrad.save(value, folder / "wrapper.pt")
    return clgrad.load(folder / "wrapper.pt", weights_only=False)


class Named(clgrad.Tensor):
    """A subclass without anything of its own."""


def test_parameters_keep_their_class(tmp_path):
    parameter = clgrad.nn.Parameter(clgrad.ones(2).as_subclass(Named))
    assert type(parameter) is Named and isinstance(parameter, clgrad.nn.Parameter) and parameter.requires_grad
    assert repr(parameter) == "Parameter(Named([1., 1.], requires_grad=True))"
    assert not isinstance(clgrad.ones(2).as_subclass(Named), clgrad.nn.Parameter)
    layer = clgrad.nn.Linear(2, 1)
    layer.weight = clgrad.nn.Parameter(clgrad.ones(1, 2).as_subclass(Named))
    layer.register_parameter("other", parameter)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias", "other"]
    optimizer = clgrad.optim.SGD(layer.parameters(), 0.5)
    layer(clgrad.ones(3, 2)).sum().backward()
    optimizer.step()
    assert layer.weight.tolist() == [[-0.5, -0.5]] and type(layer.weight) is Named
    assert type(layer.double().weight) is Named and layer.weight.dtype is clgrad.float64
    for made in (copy.deepcopy(parameter), saved(parameter, tmp_path)):
        assert type(made) is Named and isinstance(made, clgrad.nn.Parameter) and made.tolist() == [1, 1]
    buffer = clgrad.nn.Buffer(clgrad.ones(2).as_subclass(Named), persistent=False)
    layer.part = buffer
    assert type(layer.part) is Named and "part" not in layer.state_dict() and "part" in dict(layer.named_buffers())


def test_parameters_of_classes_that_lose_themselves():
    class Lost(clgrad.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            result = super().__torch_function__(func, types, args, kwargs)
            return result.as_subclass(clgrad.Tensor) if isinstance(result, clgrad.Tensor) else result

    with pytest.raises(RuntimeError, match="requires that detach.. returns an instance of the same type"):
        clgrad.nn.Parameter(clgrad.ones(2).as_subclass(Lost))
