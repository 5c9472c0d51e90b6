"""Every row of the table of pointwise operators against NumPy and SciPy, in every layout, with its derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from clgrad.ops import pointwise
from clgrad.ops.registry import NO_FORMULA, REGISTRY
from tests.compare import assert_same
from tests.ops.test_special import BESSEL, POLYNOMIALS
from tests.references import FLOATING, INTEGER

ROWS = REGISTRY.pointwise
SHAPE = (3, 5)
TOLERANCE = {"float64": dict(rtol=1e-9, atol=1e-9), "float32": dict(rtol=2e-5, atol=2e-5),
             "float16": dict(rtol=4e-3, atol=4e-3), "bfloat16": dict(rtol=3e-2, atol=3e-2)}


def draw(rng, interval, shape, dtype=np.float64):
    low, high = interval
    values = rng.uniform(low, high, shape) if np.dtype(dtype).kind == "f" else rng.integers(low, high, shape)
    return values.astype(dtype)


def call(name, tensors):
    row = ROWS[name]
    return pointwise.call(row, tuple(tensors), tuple(row.parameters.values()))


def reference(name, arrays, table=FLOATING):
    return table[name][0](*arrays, *ROWS[name].parameters.values())


def test_every_row_has_a_reference():
    with_tests_of_their_own = {"where", "_complex", "_conj", "_masked_fill",
                               *(f"_{name}" for name in (*BESSEL, *POLYNOMIALS))}
    assert set(ROWS) - set(FLOATING) - set(INTEGER) <= with_tests_of_their_own


@pytest.mark.parametrize("name", FLOATING)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided", "broadcast", "scalar", "empty", "long"])
def test_layouts(name, layout, rng):
    arrays, tensors = [], []
    for position, interval in enumerate(FLOATING[name][1]):
        shape = {"scalar": (), "empty": (0, 3), "long": (2, 503)}.get(layout, SHAPE)
        if layout == "broadcast" and position:
            shape = (3, 1)
        values = draw(rng, interval, shape)
        tensor = clgrad.tensor(values)
        if layout == "transposed":
            tensor = clgrad.tensor(np.ascontiguousarray(values.T)).t()
        if layout == "strided":
            padded = clgrad.zeros(2 * shape[0], 3 * shape[1], dtype=clgrad.float64)
            padded[::2, 1::3] = tensor
            tensor = padded[::2, 1::3]
        arrays.append(values)
        tensors.append(tensor)
    before = [t.tolist() for t in tensors]
    result = call(name, tensors)
    with np.errstate(all="ignore"):
        expected = reference(name, arrays)
    assert tuple(result.shape) == expected.shape
    np.testing.assert_allclose(np.array(result.tolist()).reshape(expected.shape), expected, **TOLERANCE["float64"])
    assert [t.tolist() for t in tensors] == before, "an input was changed"


# The next number depends on the dtype: test_next_after.
@pytest.mark.parametrize("name", [name for name in FLOATING if name != "nextafter"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_floating_dtypes(name, dtype, rng):
    tensors = [clgrad.tensor(draw(rng, i, SHAPE)).to(getattr(clgrad, dtype)) for i in FLOATING[name][1]]
    result = call(name, tensors)
    expected = reference(name, [np.array(t.tolist()) for t in tensors])
    kind = "bool" if ROWS[name].kind == "bool" else dtype
    assert result.dtype is getattr(clgrad, kind)
    if name in ("floor_divide", "_div_floor", "_div_trunc", "_trunc_divide", "remainder", "fmod"):
        # A quotient at the edge of an integer may fall on either side: compare where it is not.
        quotient = np.array(tensors[0].tolist()) / np.array(tensors[1].tolist())
        steady = np.abs(quotient - np.round(quotient)) > 1e-2
        np.testing.assert_allclose(np.array(result.tolist())[steady], expected[steady], **TOLERANCE[dtype])
        return
    np.testing.assert_allclose(np.array(result.tolist(), float), expected, **TOLERANCE[dtype])


def test_next_after():
    x = np.array([1.0, -1.0, 0.0], np.float32)
    y = np.array([2.0, -3.0, 1.0], np.float32)
    np.testing.assert_array_equal(clgrad.nextafter(clgrad.tensor(x), clgrad.tensor(y)).numpy(), np.nextafter(x, y))


@pytest.mark.parametrize("name", INTEGER)
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_integer_dtypes(name, dtype, rng):
    arrays = [draw(rng, i, (4, 9), dtype) for i in INTEGER[name][1]]
    result = call(name, [clgrad.tensor(a) for a in arrays])
    expected = reference(name, arrays, INTEGER)
    assert result.dtype is getattr(clgrad, "bool" if ROWS[name].kind == "bool" else dtype)
    np.testing.assert_array_equal(np.array(result.tolist()), expected)


DIFFERENTIABLE = [name for name, row in ROWS.items() if row.derivatives and not row.underivable and name in FLOATING]


def operands(name, rng, shape):
    row = ROWS[name]
    return tuple(clgrad.tensor(draw(rng, interval, shape), requires_grad=operand in row.derivatives
                               and row.derivatives[operand].text != NO_FORMULA)
                 for operand, interval in zip(row.tensors, FLOATING[name][1], strict=True))


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_first_derivative(name, rng):
    assert gradcheck(lambda *t: call(name, t), operands(name, rng, (2, 4)), eps=1e-6, atol=1e-5)


# Where the derivative is zero everywhere there is no second one to compare.
@pytest.mark.parametrize("name", [name for name in DIFFERENTIABLE if any(
    formula.text != "zeros_like(g)" for formula in ROWS[name].derivatives.values())])
def test_second_derivative(name, rng):
    assert gradgradcheck(lambda *t: call(name, t), operands(name, rng, (8,)), eps=1e-6, atol=1e-4)


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if r.in_place and r.public and n in FLOATING
                                  and r.kind != "bool"])
def test_in_place(name, rng):
    arrays = [draw(rng, i, SHAPE) for i in FLOATING[name][1]]
    tensors = [clgrad.tensor(a) for a in arrays]
    target, window = tensors[0], tensors[0][1]
    returned = getattr(target, f"{name}_")(*tensors[1:])
    expected = reference(name, arrays)
    assert returned is target
    np.testing.assert_allclose(target.numpy(), expected, **TOLERANCE["float64"])
    np.testing.assert_allclose(window.numpy(), expected[1], **TOLERANCE["float64"])


def test_where_selects_and_has_gradients(rng):
    condition = clgrad.tensor([[True, False, True]])
    a = clgrad.tensor(rng.normal(size=(2, 3)), requires_grad=True)
    b = clgrad.tensor(rng.normal(size=(3,)), requires_grad=True)
    np.testing.assert_array_equal(clgrad.where(condition, a, b).detach().numpy(),
                                  np.where(condition.numpy(), a.detach().numpy(), b.detach().numpy()))
    assert gradcheck(lambda x, y: clgrad.where(condition, x, y), (a, b))


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, 0.5, 200.0])


# Parts of functions that PyTorch does not have one by one.
PARTS = {"_exponent", "_mantissa", "_is_probability", "_exponential", "_cauchy", "_log_within", "_logit_within"}


@pytest.mark.parametrize("name", [n for n, r in ROWS.items() if len(r.tensors) == 1 and n in FLOATING and n not in PARTS])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values_of_unary(name, dtype, torch):
    """NaN, infinities, signed zeros and huge values, as PyTorch has them."""
    public = name.lstrip("_")
    reference_of = {"_copy": torch.clone, "_copy_of_rows": torch.clone, "_cube": lambda t: t**3,
                    "_gelu": torch.nn.functional.gelu,
                    "_gelu_tanh": lambda t: torch.nn.functional.gelu(t, approximate="tanh"),
                    "_elu": torch.nn.functional.elu, "_logit": torch.logit, "_polygamma": lambda t: torch.polygamma(1, t),
                    "_nan_to_num": lambda t: torch.nan_to_num(t, 0.0, 0.0, 0.0),
                    "threshold": lambda t: torch.nn.functional.threshold(t, 0, 0), "i1": torch.special.i1,
                    "i0e": torch.special.i0e, "i1e": torch.special.i1e}
    function = reference_of.get(name) or next(
        getattr(home, public) for home in (torch, torch.special, torch.nn.functional) if hasattr(home, public))
    values = SPECIAL.astype(dtype)
    if name == "_polygamma":
        values = values[~(values <= -1)]  # PyTorch gives large finite numbers at these poles
    if name == "_gelu":
        values = values[values != np.inf]  # PyTorch gives NaN on processors with AVX-512
    found = call(name, [clgrad.tensor(values)])
    expected = function(torch.tensor(values))
    assert str(found.dtype) == str(expected.dtype)
    tolerance = dict(rtol=1e-4, atol=1e-5) if dtype == "float32" else dict(rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(np.array(found.tolist(), float), np.array(expected.tolist(), float), **tolerance)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum", "fmax", "fmin", "eq", "lt", "ge",
                                  "atan2", "pow", "remainder", "fmod", "floor_divide", "copysign", "hypot", "xlogy",
                                  "logaddexp", "heaviside"])
def test_special_values_of_binary(name, torch):
    a, b = (v.ravel().astype(np.float64) for v in np.meshgrid(SPECIAL, SPECIAL))
    found = call(name, [clgrad.tensor(a), clgrad.tensor(b)])
    expected = getattr(torch, name)(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(np.array(found.tolist(), float), np.array(expected.tolist(), float), rtol=1e-7)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin", "logaddexp2"])
def test_gradients_of_binary_at_special_values(name, torch):
    points = [v.ravel() for v in np.meshgrid([np.nan, np.inf, 1.0, 2.0], [np.nan, np.inf, 1.0, 2.0])]
    found, expected = [], []
    for library, grads in ((clgrad, found), (torch, expected)):
        a, b = (library.tensor(p, requires_grad=True) for p in points)
        both_infinite = library.isinf(a) & library.isinf(b)  # NaN, which says nothing
        grads += [g.masked_fill(both_infinite, 0) for g in library.autograd.grad(getattr(library, name)(a, b).sum(), (a, b))]
    assert_same(found, expected)


@pytest.mark.parametrize("name", ["relu", "relu6", "hardtanh", "hardsigmoid", "hardswish", "elu", "selu", "celu",
                                  "leaky_relu", "softshrink", "hardshrink", "softplus"])
def test_gradients_of_activations_at_special_values(name, torch):
    def slopes(library):
        x = library.tensor([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, -3.0, 6.0], requires_grad=True)
        return library.autograd.grad(getattr(library.nn.functional, name)(x).sum(), x)[0]
    assert_same(slopes(clgrad), slopes(torch))


DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("left", DTYPES)
@pytest.mark.parametrize("right", [*DTYPES, "true", "2", "2.5"])
def test_promotion(left, right, torch):
    """The dtype and the value of a product of any two dtypes, 0-d tensors and Python numbers, as in PyTorch."""
    number = {"true": True, "2": 2, "2.5": 2.5}.get(right)

    def product(library, dims):
        a = library.ones((2,) if dims[0] else (), dtype=getattr(library, left))
        if number is not None:
            return a * number
        return a * library.ones((2,) if dims[1] else (), dtype=getattr(library, right))
    for dims in [(1, 1), (1, 0), (0, 1), (0, 0)]:
        found, expected = product(clgrad, dims), product(torch, dims)
        assert str(found.dtype) == str(expected.dtype), dims
        assert found.tolist() == expected.tolist()


def test_out_is_resized_filled_and_returned():
    out = clgrad.empty(0)
    assert clgrad.add(clgrad.ones(3), 2.0, out=out) is out
    assert out.tolist() == [3.0, 3.0, 3.0]
    with pytest.raises(RuntimeError, match="can't be cast"):
        clgrad.exp(clgrad.ones(2), out=clgrad.empty(2, dtype=clgrad.int64))


@pytest.mark.parametrize("wrong", [
    lambda: clgrad.ones(2, 3) + clgrad.ones(4, 3),
    lambda: clgrad.ones(2, dtype=clgrad.int64).add_(0.5),
    lambda: clgrad.ones(3).add_(clgrad.ones(2, 3)),
    lambda: clgrad.ones(3)[1:].add_(clgrad.ones(3).expand(2, 3)),
    lambda: clgrad.ones(2, requires_grad=True).mul_(2),
    lambda: clgrad.zeros(1).expand(3).add_(1),
    lambda: clgrad.bitwise_and(clgrad.ones(2), clgrad.ones(2)),
])
def test_bad_operands_are_runtime_errors(wrong):
    with pytest.raises(RuntimeError):
        wrong()


@pytest.mark.parametrize("wrong", [lambda: clgrad.ones(2) + "a", lambda: clgrad.exp(1.0), lambda: clgrad.atan2(1, 2)])
def test_wrong_types_are_type_errors(wrong):
    with pytest.raises(TypeError):
        wrong()


def test_overlapping_in_place_is_refused():
    x = clgrad.arange(6.0)
    with pytest.raises(RuntimeError, match="single memory location"):
        x[1:].add_(x[:-1])


def test_long_formulas_have_one_kernel_for_the_gradient():
    x = clgrad.ones(4, requires_grad=True)
    y = clgrad.tanh(x)
    device = x.device.compute
    before = device.clock.submitted
    y.backward(clgrad.ones(4))
    assert device.clock.submitted - before <= 3, "fill of the seed, one fused derivative, at most one copy"


def test_numbers_of_the_host_beside_numbers_of_another_device(torch):
    for t in (clgrad, torch):
        number, other = t.tensor(2.0), t.empty((), device="meta")
        assert [r.device.type for r in (number + other, other * number, t.empty(3, device="meta") / number)] == ["meta"] * 3


GATED = {"clamp": lambda t, x: x.clamp(0, 0.3), "relu": lambda t, x: x.relu(), "maximum": lambda t, x: t.maximum(x, x * 2),
         "threshold": lambda t, x: t.nn.functional.threshold(x, 0, 1), "where": lambda t, x: t.where(x > 0, x, 0),
         "leaky_relu": lambda t, x: t.nn.functional.leaky_relu(x), "relu6": lambda t, x: t.nn.functional.relu6(x),
         "addmm": lambda t, x: t.addmm(x, x, t.ones(3, 3)),
         "baddbmm": lambda t, x: t.baddbmm(x[None], x[None], t.ones(1, 3, 3))}


@pytest.mark.parametrize("name", GATED)
def test_how_results_and_gradients_of_a_turned_matrix_lie(name, torch):
    strides = []
    for t in (clgrad, torch):
        x = t.arange(12.0).view(3, 4).T.requires_grad_()
        y = GATED[name](t, x)
        strides.append((y.stride(), t.autograd.grad(y, x, t.ones(y.shape))[0].stride()))
    assert strides[0] == strides[1]


@pytest.mark.parametrize("name", ["silu", "mish", "tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends_of_activations(name, dtype, torch):
    """Where they are zero, one or their argument, they are so exactly."""
    values = [-float("inf"), -800.0, -100.0, -95.0, 9.5, 15.0, 19.5, 20.0, 88.0, 800.0, float("inf")]
    x, y = clgrad.tensor(values, dtype=getattr(clgrad, dtype)), torch.tensor(values, dtype=getattr(torch, dtype))
    function, reference = (getattr(library if name == "tanh" else library.nn.functional, name) for library in (clgrad, torch))
    assert_same(function(x), reference(y))
    found, expected = function(x[4:]).tolist(), reference(y[4:]).tolist()
    assert found[2:] == expected[2:]
