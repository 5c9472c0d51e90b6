"""Names of arguments: PyTorch's, NumPy's where PyTorch takes them, and errors for others."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd.listening import switch
from clgrad.overrides import TorchFunctionMode
from tests.compare import assert_same_outcome

PROGRAMS = """
x.sum(axis=0, keepdims=True)
t.fmod(x=x, x2=x + 1)
x.quantile(f(0.5))
t.remainder(x=x, other=x + 1)
t.floor_divide(a=x, other=x + 1)
t.expand_copy(x=x[:1], size=(3, -1))
t.diagonal_copy(x=x, dim1=1, dim2=0)
t.addcmul(a=x, tensor1=x, tensor2=x)
t.addcdiv(x1=x, tensor1=x, tensor2=x + 1)
x.mean(axis=(0, 1), keepdims=True)
x.std(axis=0, keepdims=True)
x.var(0, keepdims=True)
t.max(input=x, axis=1, keepdims=True)
x.argmax(axis=1, keepdims=True)
t.cumprod(x, axis=0)
t.sort(x, axis=0, descending=True)
t.cat([x, x], axis=1)
t.stack([x, x], axis=1)
t.squeeze(x[:1], axis=0)
t.softmax(x, axis=0)
t.gather(x, axis=0, index=x.long() * 0)
t.var_mean(x, axis=0, keepdims=True)
t.tensor_split(x, sections=2)
t.tensor_split(x, indices=[1])
t.hsplit(x, sections=2)
t.vsplit(x, indices=[1])
t.neg(x=x)
t.add(1, 2)
t.add(True, False)
t.add(1, 2, alpha=3)
t.add(x, 3, x)
t.add(x, t.tensor(3), x)
t.add(5, t.tensor(3), t.tensor(2))
x.sub(3, x)
x.clone().add_(-0.5, x)
x.add(x, x)
x.add(1, x, x)
x.addcmul(0.5, x, x)
x.addcmul(t.tensor(0.5), x, x)
x.clone().addcdiv_(-0.5, x, x + 1)
x.addcmul(x, x, x)
t.sub(1, 2.5)
t.mul(2, True)
t.div(3, 2)
t.div(3, 2, rounding_mode='floor')
t.floor_divide(7, 2)
t.remainder(7, 4)
t.pow(2, 3)
t.maximum(1, 2)
t.neg(x1=x)
t.mul(x1=x, x2=x)
t.mul(x, x2=2)
t.add(a=x, other=x)
t.sub(x1=x, x2=x, alpha=2)
x.add(other=x)
x.add(x2=x)
t.add(x)
x.add(x, foo=1)
t.arange(-1, end=3)
t.arange(0, end=6, step=2)
t.arange(start=1, end=3)
t.arange(5, step=2)
t.arange(end=3, step=2)
t.arange(1, 2, end=3)
t.arange(start=1)
t.arange(1, 2, 3, 4)
x.sum(i(1))
x.diagonal(t.tensor(1)) + 1
x.diagonal(1.0)
t.diag_embed(x, t.tensor(1))
t.as_strided(x, (2, 2), [t.tensor(1), t.tensor(2)], t.tensor(1)) + 1
t.as_strided(x, (2, 2), (1, 2), 1.0)
x.kthvalue(t.tensor(2), 0)
x.kthvalue(2.0, 0)
t.slice_scatter(x, x[:2] + 1, 0, t.tensor(0), t.tensor(3), t.tensor(2))
x.unfold(0, t.tensor(2), t.tensor(1)) + 1
[list(part.shape) for part in t.svd_lowrank(x, t.tensor(2))]
[list(part.shape) for part in t.pca_lowrank(x, q=t.tensor(2))]
[part.tolist() for part in t.tensor_split(x[0], [t.tensor(1), t.tensor(2)])]
t.triu_indices(3, t.tensor(3), i(1))
t.nn.functional.one_hot(input=x[0].long(), num_classes=i(4))
t.nn.functional.one_hot(x[0].long(), t.tensor(5))
t.histogram(x).hist.sum()
t.histogramdd(x[:, :2], [2, 2], None, None, True).hist
t.view_copy(x.t(), (12,))
t.view_copy(x, size=(2, 6))
t.view_copy(x, t.int32)
t.view_copy(x, dtype=t.int32)
t.view_copy(x)
t.linspace(0, 1, t.tensor(3))
t.nn.functional.conv2d(x.view(1, 1, 3, 4), t.ones(1, 1, 2, 2), stride=i(2), padding=(i(1), t.tensor(1)), dilation=i(1))
t.nn.functional.max_pool2d(x.view(1, 1, 3, 4), (i(2), t.tensor(2)))
t.nn.functional.conv2d(x.view(1, 1, 3, 4), t.ones(1, 1, 2, 2), stride=2.0)
t.nn.LayerNorm(i(4))(x).detach().round(decimals=4)
t.nn.RMSNorm(i(4))(x).detach().round(decimals=4)
t.nn.functional.layer_norm(x, [t.tensor(4)]).round(decimals=4)
t.nn.functional.group_norm(x.view(1, 3, 4), t.tensor(3)).round(decimals=4)
t.linspace(0, 1, 3.0)
t.logspace(0, 1, t.tensor(3))
t.gradient(x, spacing=t.tensor(2.0))
x.roll(1, i(1))
x.count_nonzero(i(1))
t.exp(x, foo=1)
t.exp(x, input=x)
t.mul(x)
t.exp()
x.split(split_size=2)
t.unsafe_split(input=x, split_size=2)
t.result_type(tensor=x, other=2)
t.promote_types(type1=t.float32, type2=t.int64)
t.promote_types(t.float32, 3)
x.clone().resize_(size=(2, 2)).shape
x.sum_to_size(size=(1, 4))
x.clone().map_(other=x, callable=lambda a, b: a + b)
t.softmax(x, 0, out=t.empty(0))
t.log_softmax(x, 0, out=t.empty(0))
t.nan_to_num_(x * float('nan'))
t.triangular_solve(input=x[:3, :3] + 1, A=t.eye(3))
t.ormqr(x, x[0, :3], input3=x)
t.zero_(input=x.clone())
t.repeat_interleave(repeats=t.tensor([1, 2]))
t.rand(size=(2,), out=t.empty(0)).shape
x.clone().round_(decimals=1)
x.storage_type().__name__
t.max(x, other=x + 1)
t.min(x, x + 1)
t.min(x, 0, True)
t.max(x, out=t.empty(0))
t.std(x, False)
t.std(x, 0, False, True)
t.var_mean(x, 1, False)
t.std_mean(x, False)
x.clone().random_(**{'from': 1, 'to': 2})
t.sum(x, foo=1)
t.mean(x, foo=1)
t.std(x, foo=1)
t.var(x, 0, True, False, 1)
t.max(x, foo=1)
t.min(x, 0, False, 3)
t.std_mean(x, foo=1)
x.random_(foo=1)
x.uniform_(foo=1)
x.type(foo=1)
t.cumsum(x, axis=0, dim=0)
t.rsub(2, x)
t.trapz(x, dx=None)
x.__radd__(x)
x.__rsub__(x)
x.__rmatmul__(x.t())
(x + 1).__rdiv__(x)
x.long().__rand__(x.long())
t.nextafter(x, x + 1)
t.nextafter(x.requires_grad_(), x + 1).sum().backward()
""".strip().splitlines()


def run(program):
    return lambda t: eval(program, {"t": t, "i": np.int64, "f": np.float32, "x": t.arange(12.0).reshape(3, 4)})


@pytest.mark.parametrize("program", PROGRAMS)
def test_names_of_arguments(program, torch):
    assert_same_outcome(torch, run(program))


def test_names_are_known_while_somebody_listens():
    class Counter(TorchFunctionMode):
        calls = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.calls += 1
            return func(*args, **(kwargs or {}))
    with Counter() as counter:
        assert switch.on
        assert clgrad.ones(2, 3).sum(axis=0, keepdims=True).tolist() == [[2, 2, 2]]
    assert counter.calls


@pytest.mark.parametrize("name", ["hann", "bartlett", "kaiser", "gaussian"])
def test_windows_are_dense(name):
    with pytest.raises(ValueError, match="strided"):
        getattr(clgrad.signal.windows, name)(3, layout=clgrad.sparse_coo)


def test_names_of_other_arguments():
    clgrad.set_default_device(device="cpu")
    clgrad.set_default_device(device=None)
    x = clgrad.ones(2, requires_grad=True)
    y, seen = x * x, []
    y.grad_fn.register_hook(fn=lambda *_: seen.append("after"))
    y.grad_fn.register_prehook(fn=lambda _: seen.append("before"))
    y.sum().backward()
    assert seen == ["before", "after"]
    assert clgrad.compile(abs, recompile_limit=2, isolate_recompiles=True) is abs
    assert clgrad.float16.to_real() is clgrad.float16 and clgrad.cpu.is_initialized()
