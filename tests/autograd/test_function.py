"""Users' Functions, and the checks of gradients."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import Function, GradcheckError, gradcheck, gradgradcheck, once_differentiable
from tests.compare import assert_same


def make(t):
    """A few Functions over one library."""
    class Cube(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    class Exp(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    class Scaled(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor, name=None):
            ctx.factor = factor
            return x * factor

        @staticmethod
        def backward(ctx, g):
            return g * ctx.factor, None, None

    class SortOfSplit(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            sign = x > 0
            ctx.mark_non_differentiable(sign)
            return x * 2, x * 3, sign

        @staticmethod
        def backward(ctx, g2, g3, gs):
            return g2 * 2 + g3 * 3

    class InPlace(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(4)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 4

    class Setup(t.autograd.Function):
        @staticmethod
        def forward(x, y):
            return x * y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return (g * y if ctx.needs_input_grad[0] else None, g * x if ctx.needs_input_grad[1] else None)
    return Cube, Exp, Scaled, SortOfSplit, InPlace, Setup


PROGRAMS = {
    "cube": lambda t, f, x, y: f[0].apply(x),
    "exp": lambda t, f, x, y: f[1].apply(x) * y,
    "scaled": lambda t, f, x, y: f[2].apply(x, 2.5, "name"),
    "split_first": lambda t, f, x, y: f[3].apply(x)[0],
    "split_both": lambda t, f, x, y: f[3].apply(x)[0] * f[3].apply(y)[1],
    "in_place": lambda t, f, x, y: f[4].apply(x * 1) * y,
    "in_place_base": lambda t, f, x, y: (lambda z: (f[4].apply(z), z * z)[1])(x * y),
    "setup": lambda t, f, x, y: f[5].apply(x, y),
    "nested": lambda t, f, x, y: f[0].apply(f[1].apply(f[5].apply(x, y))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_two_derivatives(name, torch):
    results = []
    for t in (clgrad, torch):
        x, y = (t.tensor(v, dtype=t.float64, requires_grad=True) for v in ([1.0, -2.0], [0.5, 1.5]))
        out = PROGRAMS[name](t, make(t), x, y)
        first = t.autograd.grad(out.sum(), (x, y), create_graph=True, allow_unused=True, materialize_grads=True)
        total = sum((g * g).sum() for g in first)
        second = (t.autograd.grad(total, (x, y), allow_unused=True, materialize_grads=True) if total.requires_grad
                  else ())
        results.append((out.detach(), [g.detach() for g in first], second))
    assert_same(results[0], results[1], 1e-10)


def test_marks_and_context(torch):
    for t in (clgrad, torch):
        functions = make(t)
        x = t.tensor([1.0, -2.0], requires_grad=True)
        a, b, sign = functions[3].apply(x)
        assert (a.requires_grad, b.requires_grad, sign.requires_grad) == (True, True, False)
        assert sign.tolist() == [True, False]
        assert functions[0].apply(t.ones(1)).requires_grad is False
        with t.no_grad():
            assert functions[0].apply(x).grad_fn is None
        assert functions[0].apply(x).grad_fn.name() == "CubeBackward"
        z = x * 1
        assert functions[4].apply(z) is z
        assert z.tolist() == [4, -8]


def test_outputs_without_a_gradient_can_be_saved(torch):
    """Places (integers), and a value that is marked."""
    def program(t):
        class Largest(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                value, place = x.max(-1)
                share = value / x.sum(-1)
                ctx.mark_non_differentiable(place, share)
                ctx.save_for_backward(place, share, value)
                ctx.shape = x.shape
                return value, place, share

            @staticmethod
            def backward(ctx, g, g_place, g_share):
                place, share, value = ctx.saved_tensors
                return t.zeros(ctx.shape).scatter_add(-1, place.unsqueeze(-1), (g * share * value).unsqueeze(-1))
        x = t.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 1.0]], requires_grad=True)
        value, place, share = Largest.apply(x)
        value.sum().backward()
        return [x.grad.tolist(), place.tolist(), place.requires_grad, share.requires_grad, value.requires_grad]
    assert program(clgrad) == program(torch)


def test_saved_tensors_are_watched():
    x = clgrad.ones(2, requires_grad=True)
    h = x * 1
    y = make(clgrad)[0].apply(h)
    h.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    z = make(clgrad)[0].apply(x)
    z.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.sum().backward()


def test_wrong_numbers_of_gradients():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g, g
    with pytest.raises(RuntimeError, match="incorrect number of gradients"):
        Wrong.apply(clgrad.ones(2, requires_grad=True)).sum().backward()


def test_once_differentiable_uses_numpy_and_has_no_second_order():
    class Sine(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return clgrad.from_numpy(np.sin(x.detach().numpy()))

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return clgrad.from_numpy(g.detach().numpy() * np.cos(x.detach().numpy()))
    x = clgrad.tensor([0.1, 0.7], dtype=clgrad.float64, requires_grad=True)
    assert gradcheck(Sine.apply, x)
    (g,) = clgrad.autograd.grad(Sine.apply(x).sum(), x, create_graph=True)
    (seed,) = clgrad.autograd.grad(Sine.apply(x * x).sum(), x)
    assert seed.shape == (2,)
    weight = clgrad.ones(2, dtype=clgrad.float64, requires_grad=True)
    (g,) = clgrad.autograd.grad((Sine.apply(x) * weight).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()


def test_gradients_that_are_not_wanted_need_not_be_made(torch):
    for t in (clgrad, torch):
        class Maybe(t.autograd.Function):
            @staticmethod
            def forward(ctx, x, y):
                ctx.set_materialize_grads(False)
                return x * 1, y * 1

            @staticmethod
            def backward(ctx, gx, gy):
                assert gy is None
                return gx, None
        x, y = t.ones(2, requires_grad=True), t.ones(2, requires_grad=True)
        Maybe.apply(x, y)[0].sum().backward()
        assert x.grad.tolist() == [1, 1]
        assert y.grad is None


def test_missing_methods():
    class Nothing(Function):
        pass
    with pytest.raises(NotImplementedError):
        Nothing.apply(clgrad.ones(1, requires_grad=True))


class Wrong(Function):
    """Its derivative is off by 1 %."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x * 2.02


@pytest.mark.parametrize("fast_mode", [False, True])
def test_gradcheck_finds_a_planted_error(fast_mode):
    x = clgrad.tensor([1.0, 2.0], dtype=clgrad.float64, requires_grad=True)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradcheck(Wrong.apply, x, fast_mode=fast_mode)
    assert gradcheck(Wrong.apply, x, raise_exception=False, fast_mode=fast_mode) is False
    assert gradcheck(lambda v: v * v, x, fast_mode=fast_mode) is True
    assert x.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="require gradient"):
        gradcheck(lambda v: v * v, x.detach(), fast_mode=fast_mode)


class WrongPlace(Function):
    """One of its many derivatives is missing."""

    @staticmethod
    def forward(ctx, x):
        return x * 3

    @staticmethod
    def backward(ctx, g):
        g = g * 3
        g[7, 1] = 0
        return g


def test_fast_gradcheck_evaluates_twice_for_each_input_and_finds_one_wrong_element():
    calls = []

    def product(a, b):
        calls.append(None)
        return (a @ b).sin(), a.sum()

    a, b = (clgrad.rand(8, 8, dtype=clgrad.float64).requires_grad_() for _ in range(2))
    assert gradcheck(product, (a, b), fast_mode=True, check_forward_ad=True)
    assert len(calls) < 8
    assert gradgradcheck(product, (a, b), fast_mode=True)
    assert len(calls) < 24
    assert gradcheck(lambda v: v.prod(), clgrad.tensor(3.0, dtype=clgrad.float64, requires_grad=True), fast_mode=True)
    assert gradcheck(lambda v: v * v, clgrad.rand(0, 3, dtype=clgrad.float64).requires_grad_(), fast_mode=True)
    z = clgrad.tensor([1 + 2j, 0.5j], dtype=clgrad.complex128, requires_grad=True)
    assert gradcheck(lambda v: v * v.conj() + v.exp(), z, fast_mode=True)
    with pytest.raises(GradcheckError, match="Jacobian mismatch"):
        gradcheck(WrongPlace.apply, a, fast_mode=True)
    with pytest.raises(GradcheckError):
        gradcheck(lambda v: clgrad.view_as_real(WrongPlace.apply(clgrad.view_as_complex(v))),
                  clgrad.rand(8, 8, 2, dtype=clgrad.float64).requires_grad_(), fast_mode=True)
    assert not gradcheck(WrongPlace.apply, a, check_forward_ad=True, check_backward_ad=False, fast_mode=True,
                         raise_exception=False)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_gradcheck_finds_what_is_not_recorded_and_what_is_not_repeated(fast_mode):
    class Drifting(Function):
        calls = 0

        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            Drifting.calls += 1
            return g * (2 + 1e-7 * Drifting.calls)

    x = clgrad.rand(2, dtype=clgrad.float64).requires_grad_()
    with pytest.raises(GradcheckError, match="expected to be zero"):
        gradcheck(lambda v: v.detach() * 2, x, fast_mode=fast_mode)
    assert gradcheck(lambda v: v.detach() * 0, x, fast_mode=fast_mode)
    with pytest.raises(GradcheckError, match="not reentrant"):
        gradcheck(Drifting.apply, x, fast_mode=fast_mode)
    assert gradcheck(Drifting.apply, x, nondet_tol=1e-3, fast_mode=fast_mode)
    with pytest.raises(TypeError, match="fast_mood"):
        gradcheck(lambda v: v * 2, x, fast_mood=True)
    assert gradgradcheck(lambda v: v ** 3, x, gen_non_contig_grad_outputs=True, fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_gradgradcheck_finds_a_wrong_second_derivative(fast_mode):
    class Half(Function):
        """Right to first order; its backward hides half of its dependence on x."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x.detach() * g
    x = clgrad.tensor([1.0, 2.0], dtype=clgrad.float64, requires_grad=True)
    assert gradcheck(Half.apply, x, fast_mode=fast_mode)
    with pytest.raises(GradcheckError):
        gradgradcheck(Half.apply, x, fast_mode=fast_mode)


def test_arguments_left_out_and_results_without_gradient():
    class Power(clgrad.autograd.Function):
        @staticmethod
        def forward(x, y=3):
            return x ** y, x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.y = inputs
            ctx.save_for_backward(x)
            ctx.mark_non_differentiable(output[1])
            ctx._materialize_non_diff_grads = False

        @staticmethod
        def backward(ctx, g, none):
            assert none is None
            (x,) = ctx.saved_tensors
            return g * ctx.y * x ** (ctx.y - 1), None
    x = clgrad.tensor(2.0, requires_grad=True)
    Power.apply(x)[0].backward()
    assert x.grad.item() == 12


def test_gradcheck_reaches_inputs_that_a_function_holds_itself():
    layer = clgrad.nn.Linear(3, 2, dtype=clgrad.float64)
    x = clgrad.rand(4, 3, dtype=clgrad.float64, requires_grad=True)
    before = layer.weight.detach().clone()
    assert gradcheck(lambda x, *parameters: layer(x).sin(), (x, *layer.parameters()))
    assert clgrad.equal(layer.weight, before)


def test_results_that_change_their_shape_or_dtype_cannot_be_checked(torch):
    for t in (clgrad, torch):
        x = t.ones(1, dtype=t.float64, requires_grad=True)
        with pytest.raises(AssertionError, match=r"the same shape when inputs are perturbed on index \(0,\) by 1e-06, but got"
                                                 r": shapes torch.Size\(\[1\]\) and torch.Size\(\[2\]\)"):
            t.autograd.gradcheck(lambda v, t=t: t.cat([v, v]) if v >= 1 else v, (x,))
        with pytest.raises(AssertionError, match="got: dtypes torch.float64 and torch.float32"):
            t.autograd.gradcheck(lambda v, t=t: v.to(t.float32) if v >= 1 else v, (x,))


def test_gradients_are_checked_before_tangents(torch):
    for t in (clgrad, torch):
        class Wrong(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2

            @staticmethod
            def vjp(ctx, grad):
                raise RuntimeError("backwards")

            @staticmethod
            def jvp(ctx, tangent):
                raise RuntimeError("forwards")
        x = t.ones(2, dtype=t.float64, requires_grad=True)
        with pytest.raises(RuntimeError, match="backwards"):
            t.autograd.gradcheck(Wrong.apply, (x,), check_forward_ad=True)


def test_what_classes_of_functions_are_asked_for(torch):
    for t in (clgrad, torch):
        class Double(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * 2

            @staticmethod
            def backward(ctx, grad):
                with pytest.warns(DeprecationWarning, match="'saved_variables' is deprecated; use 'saved_tensors'"):
                    (x,) = ctx.saved_variables
                return grad * 2 + 0 * x
        x = t.ones(1, requires_grad=True)
        y = Double.apply(x)
        assert type(y.grad_fn) is Double._backward_cls
        assert not Double.generate_vmap_rule
        with pytest.raises(NotImplementedError):
            Double.vmap(None, (0,), x)
        y.backward()
        assert x.grad.tolist() == [2]
