"""Tangents that travel forwards: dual tensors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import forward_ad as fwAD

PROGRAMS = {
    "pointwise": lambda x, y: (x * y).sin() + x.exp() / y,
    "product": lambda x, y: x @ y.t(),
    "reduction": lambda x, y: (x * x).sum(1) * 2,
    "linear in one": lambda x, y: y * 3 + 1,
    "functions": lambda x, y: clgrad.nn.functional.softmax(clgrad.nn.functional.gelu(x), dim=1),
    "triangles": lambda x, y: clgrad.triangular_solve(y, x[:, :3] + 3 * clgrad.eye(3, dtype=x.dtype))[0],
    "inverse of a factor": lambda x, y: clgrad.cholesky_inverse((x @ y.t()).tril()),
    "indexing": lambda x, y: clgrad.cat([x[:, 1:], y[:, :1]], 1).max(1)[0],
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_tangents_are_directional_derivatives(program, rng):
    x, dx, y, dy = (clgrad.tensor(rng.uniform(0.5, 2, (3, 4))) for _ in range(4))
    run, step = PROGRAMS[program], 1e-6
    with fwAD.dual_level():
        primal, tangent = fwAD.unpack_dual(run(fwAD.make_dual(x, dx), fwAD.make_dual(y, dy)))
    np.testing.assert_array_equal(primal.detach().numpy(), run(x, y).numpy())
    slope = (run(x + step * dx, y + step * dy) - run(x - step * dx, y - step * dy)) / (2 * step)
    np.testing.assert_allclose(tangent.numpy(), slope.numpy(), rtol=1e-6, atol=1e-8)
    assert not tangent.requires_grad
    assert not primal.requires_grad


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_a_tangent_has_no_tangent_of_its_own(torch):
    for t in (clgrad, torch):
        level = t.autograd.forward_ad
        with level.dual_level():
            dual = level.make_dual(t.ones(2), t.ones(2))
            with pytest.raises(RuntimeError, match="has a forward gradient at the same level"):
                level.make_dual(t.ones(2), dual)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_rows_that_are_scaled_in_place_keep_their_tangents(torch):
    for t in (clgrad, torch):
        level = t.autograd.forward_ad
        with level.dual_level():
            weight = level.make_dual(t.full((4, 4), 2.0), t.ones(4, 4))
            found = t.nn.functional.embedding(t.tensor([[0, 1], [2, 2]]), weight, max_norm=1.0)
            assert level.unpack_dual(found).tangent.tolist() == t.ones(2, 2, 4).tolist()


def test_values_without_tangents():
    x = clgrad.ones(2)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, clgrad.full((2,), 3.0))
        assert fwAD.unpack_dual(x).tangent is None
        assert fwAD.unpack_dual(clgrad.ones(2, requires_grad=True) * 2).tangent is None
        assert fwAD.unpack_dual(dual).tangent.tolist() == [3.0, 3.0]
        assert fwAD.unpack_dual(dual.detach()).tangent is None
        assert fwAD.unpack_dual(dual * 0 + 1).tangent.tolist() == [0.0, 0.0]
        primal, tangent = fwAD.unpack_dual(dual.clone().mul_(dual))
        assert primal.tolist() == [1.0, 1.0]
        assert tangent.tolist() == [6.0, 6.0]
    assert fwAD.unpack_dual(dual).tangent is None


def test_modules_and_gradients_of_tangents():
    layer = clgrad.nn.Linear(2, 1, bias=False)
    x = clgrad.tensor([[1.0, 2.0]])
    with fwAD.dual_level():
        tangent = fwAD.unpack_dual(layer(fwAD.make_dual(x, clgrad.tensor([[3.0, 4.0]])))).tangent
        tangent.sum().backward()
    assert layer.weight.grad.tolist() == [[3.0, 4.0]]
    w = clgrad.tensor(2.0, requires_grad=True)
    with fwAD.dual_level():
        fwAD.unpack_dual(fwAD.make_dual(w, clgrad.tensor(1.0)) ** 3).tangent.backward()
    assert w.grad.item() == 12.0  # the second derivative


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("change", [
    lambda x, y: x.mul_(y),
    lambda x, y: x[0].mul_(y[1]),
    lambda x, y: y.mul_(x),
    lambda x, y: x.eq_(y),
    lambda x, y: x.zero_().add_(y),
    lambda x, y: x.mul_(y).sin_().div_(y).exp_().sub_(1),
    lambda x, y: (x[:1].pow_(2), y.add_(x).mul_(x), x.sigmoid_().log_()),
    lambda x, y: y.copy_(x).mul_(x).clamp_(max=40).sqrt_(),
    lambda x, y: y.view(2, 1).squeeze_().add_(x).cumsum_(0).masked_fill_(y > 8, 0).mul_(x),
])
def test_values_that_are_changed_in_place(change, torch):
    found = []
    for t in (clgrad, torch):
        fw = t.autograd.forward_ad
        with fw.dual_level():
            plain = t.tensor([5.0, 7.0])
            x, y = fw.make_dual(plain, t.tensor([1.0, 10.0])), t.tensor([2.0, 3.0])
            change(x, y)
            found.append([[None if part is None else part.tolist() for part in fw.unpack_dual(z)] for z in (x, x * y, y)])
            assert plain.tolist() == fw.unpack_dual(x).primal.tolist()
    assert found[0] == [[part if part is None else pytest.approx(part, rel=1e-6) for part in pair] for pair in found[1]]


@pytest.mark.parametrize("change, function", [
    (lambda x: x.mul_(x).mul_(x).sin_(), lambda x: (x ** 4).sin()),
    (lambda x: x.addcmul_(x, x).addcdiv_(x, x + 1), lambda x: (x + x * x) * (1 + 1 / (x + x * x + 1))),
    (lambda x: x.__imul__(x).__iadd__(x).__ipow__(2), lambda x: (2 * x * x) ** 2),
])
def test_what_is_changed_by_its_own_values(change, function):
    """PyTorch takes the second operand after the change here; so the reference is the same without changes."""
    start, direction = clgrad.tensor([0.5, 1.5], dtype=clgrad.float64), clgrad.tensor([1.0, -2.0], dtype=clgrad.float64)
    with fwAD.dual_level():
        found = [fwAD.unpack_dual(step(fwAD.make_dual(start, direction) * 1)).tangent for step in (change, function)]
    np.testing.assert_allclose(found[0].numpy(), found[1].numpy(), rtol=1e-12)


def test_graphs_of_tangents_outlive_their_level():
    w, other = clgrad.tensor([2.0], requires_grad=True), clgrad.tensor([3.0])
    with fwAD.dual_level():
        y = fwAD.make_dual(other, clgrad.ones(1)) * 1
        tangent = fwAD.unpack_dual(y.mul_(y).mul_(w)).tangent
    tangent.sum().backward(retain_graph=True)
    assert w.grad.item() == 6.0
    with fwAD.dual_level():
        product = w * other
    other.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_tangents_where_no_graph_is_wanted(torch):
    found = []
    for t in (clgrad, torch):
        fw, w = t.autograd.forward_ad, t.tensor([3.0, 4.0], requires_grad=True)
        with t.no_grad():
            with fw.dual_level():
                parts = fw.unpack_dual((fw.make_dual(t.tensor([1.0, 2.0]), t.ones(2)) * w).sin())
            assert not (w * 2).requires_grad
        assert not any(part.requires_grad for part in parts)
        found.append([part.tolist() for part in parts])
    np.testing.assert_allclose(*found, rtol=1e-6)


def within_no_grad(t):
    """Tangents of what is computed in a block without gradients, and what is recorded there beside them."""
    level, w, seen = t.autograd.forward_ad, t.tensor([3.0, 4.0], requires_grad=True), []
    with level.dual_level():
        x = level.make_dual(t.tensor([1.0, 2.0]), t.tensor([1.0, 10.0]))
        with t.no_grad():
            y, other = (x * w).sin(), w * 2
            w.add_(1).mul_(w.detach())
            changed = x.clone().mul_(w)
            changed[0] += w[1]
            linear = t.nn.functional.linear(x, t.ones(2, 2, requires_grad=True))
            seen += [t.is_grad_enabled(), other.requires_grad, w.is_leaf, w.tolist()]
            with t.enable_grad():
                seen += [t.is_grad_enabled(), (w * 2).requires_grad]
        parts = [part for result in (y, changed, linear) for part in level.unpack_dual(result)]
        seen += [level.unpack_dual(other).tangent, t.autograd.grad((y * w).sum(), w)[0].tolist()]
    return seen + [pytest.approx(part.tolist(), rel=1e-5) if t is clgrad else part.tolist() for part in parts]


def beginning_in_no_grad(t):
    level, w = t.autograd.forward_ad, t.tensor([3.0, 4.0], requires_grad=True)
    with t.no_grad(), level.dual_level():
        x = level.make_dual(t.tensor([1.0, 2.0]), t.tensor([1.0, 10.0]))
        w.sub_(1)
        result = level.unpack_dual(x * w)
        seen = [w.tolist(), result.tangent.tolist(), result.tangent.requires_grad, (w * 2).requires_grad]
    return [*seen, (w * 2).requires_grad, t.is_grad_enabled()]


def of_functions(t):
    x, v = t.tensor([1.0, 2.0]), t.tensor([1.0, 10.0])

    def f(x):
        with t.no_grad():
            y = x * x
        return y + x
    found = [*t.func.jvp(f, (x,), (v,)), t.func.jacfwd(f)(x), t.func.jacrev(f)(x), t.func.hessian(lambda x: f(x).sum())(x),
             t.func.jvp(t.func.grad(lambda x: f(x).sum()), (x,), (v,))[1]]
    return [part.tolist() for part in found]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("program", [within_no_grad, beginning_in_no_grad, of_functions])
def test_tangents_within_no_grad(program, torch):
    assert program(clgrad) == program(torch)


def test_errors():
    x = clgrad.ones(2)
    with pytest.raises(RuntimeError, match="no level exists"):
        fwAD.make_dual(x, x)
    with pytest.raises(RuntimeError, match="not the last one"):
        fwAD.exit_dual_level()
    with fwAD.dual_level():
        with pytest.raises(RuntimeError, match="Nested"):
            fwAD.enter_dual_level()
        with pytest.raises(ValueError, match="floating point"):
            fwAD.make_dual(clgrad.ones(2, dtype=clgrad.int64), x)
        with pytest.raises(TypeError, match="must be Tensor"):
            fwAD.make_dual(x, 1.0)
    assert fwAD.enter_dual_level() == 0
    fwAD.exit_dual_level(level=0)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
@pytest.mark.parametrize("program", [
    lambda t, make, x: make(x, t.ones(3)),
    lambda t, make, x: make(x, x.long()),
    lambda t, make, x: make(x.long(), x),
    lambda t, make, x: make(make(x, x), x),
])
def test_what_errors_say(program, torch):
    said = []
    for t in (clgrad, torch):
        with t.autograd.forward_ad.dual_level(), pytest.raises((RuntimeError, ValueError)) as error:
            program(t, t.autograd.forward_ad.make_dual, t.ones(2))
        said.append((type(error.value), str(error.value)))
    assert said[0] == said[1]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_the_number_of_the_level(torch):
    for t in (clgrad, torch):
        assert t.autograd.forward_ad._current_level == -1
        with t.autograd.forward_ad.dual_level():
            assert t.autograd.forward_ad._current_level == 0
    with pytest.raises(AttributeError, match="has no attribute"):
        fwAD.nothing  # noqa: B018


def test_strict_products_refuse_outputs_that_do_not_depend_on_the_inputs():
    x = clgrad.ones(2)
    with pytest.raises(RuntimeError, match="independent of the inputs"):
        clgrad.func.jvp(lambda v: (v * 2, x * 2), (x,), (x,), strict=True)
    assert [part.tolist() for part in clgrad.func.jvp(lambda v: (v * 2, x * 2), (x,), (x,))[1]] == [[2, 2], [0, 0]]


def test_random_numbers_within_vmap():
    def draws(x):
        return x + clgrad.rand(2)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        clgrad.vmap(draws)(clgrad.zeros(2, 2))
    first, second = clgrad.vmap(draws, randomness="same")(clgrad.zeros(2, 2)).tolist()
    assert first == second
    first, second = clgrad.vmap(draws, randomness="different")(clgrad.zeros(2, 2)).tolist()
    assert first != second


def test_a_formula_without_a_derivative_at_zero_has_a_product():
    """PyTorch gives NaN here: its formula for the gradient takes the logarithm of a zero."""
    x, v = clgrad.tensor([1.0, 2.0], dtype=clgrad.float64), clgrad.tensor([3.0, 4.0], dtype=clgrad.float64)
    share = np.exp(2.0) / (np.exp(1.0) + np.exp(2.0))
    expected = [3.0, 3.0 * (1 - share) + 4.0 * share]
    np.testing.assert_allclose(clgrad.autograd.functional.jvp(lambda x: x.logcumsumexp(0), x, v)[1].tolist(), expected)
    np.testing.assert_allclose(clgrad.func.jvp(lambda x: x.logcumsumexp(0), (x,), (v,))[1].tolist(), expected)
    with fwAD.dual_level():
        dual = fwAD.make_dual(x, v)
        tangent = fwAD.unpack_dual(dual.logcumsumexp(0)).tangent
    np.testing.assert_allclose(tangent.tolist(), expected)


def functions_with_forward_rules(t):
    """A Function whose jvp is twice its derivative, so that one sees which was used; and one without a backward."""
    class Doubled(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, factor):
            ctx.save_for_backward(x, y)
            ctx.save_for_forward(x, y)
            ctx.factor = factor
            return x * y * factor, x > 0

        @staticmethod
        def backward(ctx, g, _):
            x, y = ctx.saved_tensors
            return g * y * ctx.factor, g * x * ctx.factor, None

        @staticmethod
        def jvp(ctx, x_t, y_t, nothing):
            assert nothing is None
            x, y = ctx.saved_tensors
            return 2 * ctx.factor * (x_t * y + x * y_t), None

    class Exp(t.autograd.Function):
        @staticmethod
        def forward(x):
            return t.exp(x)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_forward(output)

        @staticmethod
        def jvp(ctx, x_t):
            (y,) = ctx.saved_tensors
            return x_t * y
    return Doubled, Exp


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")
def test_a_functions_jvp_gives_its_tangents_as_pytorchs(torch):
    found = []
    for t in (torch, clgrad):
        doubled, exp = functions_with_forward_rules(t)
        x, x_t = t.tensor([1.0, -2.0], dtype=t.float64), t.tensor([0.5, 3.0], dtype=t.float64)
        y = t.tensor([4.0, 5.0], dtype=t.float64, requires_grad=True)
        with t.autograd.forward_ad.dual_level():
            dual = t.autograd.forward_ad.make_dual(x, x_t)
            z = doubled.apply(dual.sin(), y, 3)[0] * dual
            first = t.autograd.forward_ad.unpack_dual(z)
            second = t.autograd.forward_ad.unpack_dual(exp.apply(dual) * 2)
            found.append([first.primal.tolist(), first.tangent.tolist(), second.primal.tolist(), second.tangent.tolist()])
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_tangents_of_a_functions_jvp_have_tangents_themselves():
    _, exp = functions_with_forward_rules(clgrad)
    x, one = clgrad.tensor(0.3, dtype=clgrad.float64), clgrad.tensor(1.0, dtype=clgrad.float64)

    def slope(x):
        return clgrad.func.jvp(lambda v: exp.apply(v * v), (x,), (one,))[1]
    value, slope_of_slope = clgrad.func.jvp(slope, (x,), (one,))
    np.testing.assert_allclose(value.item(), 0.6 * np.exp(0.09), rtol=1e-12)
    np.testing.assert_allclose(slope_of_slope.item(), (2 + 0.36) * np.exp(0.09), rtol=1e-12)


@pytest.mark.parametrize("answer, message", [
    (lambda t: t, "as many tangents as forward returns"), (lambda t: (t, t), "You should return None at that position"),
    (lambda t: (3, None), "expected Variable or None")])
def test_a_jvp_that_answers_wrongly_is_refused(answer, message):
    class Wrong(clgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, x > 0

        @staticmethod
        def jvp(ctx, x_t):
            return answer(x_t)
    with pytest.raises(RuntimeError, match=message):
        clgrad.func.jvp(lambda x: Wrong.apply(x)[0], (clgrad.ones(2),), (clgrad.ones(2),))


def test_gradcheck_compares_tangents():
    doubled, exp = functions_with_forward_rules(clgrad)
    x, y = (clgrad.tensor(v, dtype=clgrad.float64, requires_grad=True) for v in ([1.0, -2.0], [4.0, 5.0]))
    assert clgrad.autograd.gradcheck(exp.apply, (x,), check_forward_ad=True, check_backward_ad=False)
    assert clgrad.autograd.gradcheck(lambda a: a.sin() * a, (x,), check_forward_ad=True)
    assert clgrad.autograd.gradcheck(lambda a, b: doubled.apply(a, b, 3)[0], (x, y))
    with pytest.raises(RuntimeError, match="computed with forward mode mismatch for output 0 with respect to input 0"):
        clgrad.autograd.gradcheck(lambda a, b: doubled.apply(a, b, 3)[0], (x, y), check_forward_ad=True)
    with pytest.raises(AssertionError, match="at least one of"):
        clgrad.autograd.gradcheck(exp.apply, (x,), check_backward_ad=False)


def test_forward_over_reverse(torch):
    """Hessian-vector products: the tangent of a gradient that was taken within the level."""
    found = []
    for t in (clgrad, torch):
        level = t.autograd.forward_ad
        x, v = t.tensor([1.0, 2.0, 3.0]), t.tensor([1.0, 0.0, 2.0])
        w = t.tensor([0.5, -1.0, 2.0], requires_grad=True)
        with level.dual_level():
            y = (level.make_dual(x, v) ** 2 * w.sin()).sum()
            (slope,) = t.autograd.grad(y, w)
            tangents = level.unpack_dual(y).tangent, level.unpack_dual(slope).tangent
        with level.dual_level():
            dual = level.make_dual(w, v)
            (slope,) = t.autograd.grad((dual**3).sum(), dual)
            tangents += (level.unpack_dual(slope).tangent,)
        with level.dual_level():
            y = (level.make_dual(x, v) * w).sum()
            y.backward()
            tangents += (level.unpack_dual(y).tangent, w.grad)
        found.append([one.detach().numpy() for one in tangents])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
