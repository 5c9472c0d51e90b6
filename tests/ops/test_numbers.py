"""Numbers and 0-d tensors beside tensors of a narrower dtype: they become its elements first, as in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same_outcome

inf, nan = float("inf"), float("nan")

KINDS = {clgrad.int8: np.int8, clgrad.uint8: np.uint8, clgrad.int16: np.int16, clgrad.int32: np.int32}


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("number", [-1, 300, 65537, 2**40 + 5, -(2**31) - 1])
@pytest.mark.parametrize("name", ["lt", "le", "eq", "gt", "add", "mul", "sub"])
def test_numbers_are_cut_down(name, number, kind):
    x = np.array([1, 44, 5, 127, 0], KINDS[kind])
    narrow = np.array(number).astype(KINDS[kind])
    function = {"lt": np.less, "le": np.less_equal, "eq": np.equal, "gt": np.greater, "add": np.add, "mul": np.multiply,
                "sub": np.subtract}[name]
    with np.errstate(over="ignore"):
        expected = function(x, narrow)
    assert getattr(clgrad.tensor(x), name)(number).tolist() == expected.tolist()
    assert getattr(clgrad.tensor(x), name)(clgrad.tensor(number)).tolist() == expected.tolist()


@pytest.mark.parametrize("program", [
    lambda x: x.clamp(max=300), lambda x: x.clamp_(min=-129), lambda x: x ** 128, lambda x: x.add(1, alpha=300),
    lambda x: x.masked_fill(x == 1, 300), lambda x: x.fill_(-129), lambda x: clgrad.where(x == 1, x, 128),
    lambda x: x.index_fill(0, clgrad.tensor([0]), 300), lambda x: clgrad.full((2,), 1e10, dtype=clgrad.int32),
])
def test_numbers_that_have_to_fit(program):
    x = clgrad.tensor([1, 2], dtype=clgrad.int8)
    with pytest.raises(RuntimeError, match="cannot be converted to type int"):
        program(x)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize(("number", "kind"), [(bool, clgrad.bool), (int, clgrad.int64), (float, clgrad.float64)])
@pytest.mark.parametrize("program", [
    lambda d: clgrad.tensor([1, 0], dtype=d), lambda d: clgrad.as_tensor([1, 0], d), lambda d: clgrad.zeros(2, dtype=d),
    lambda d: clgrad.ones(2).new_tensor([1, 0], dtype=d), lambda d: clgrad.zeros_like(clgrad.ones(2), dtype=d),
    lambda d: clgrad.ones(2).to(d), lambda d: clgrad.ones(2).sum(dtype=d), lambda d: clgrad.ones(2).view(d),
    lambda d: clgrad.randint(1, (2,), dtype=d), lambda d: clgrad.sum(clgrad.ones(2), 0, dtype=d),
])
def test_types_of_numbers_are_dtypes(program, number, kind):
    assert program(number).dtype is kind


def test_a_module_takes_a_type_of_numbers():
    layer = clgrad.nn.Linear(2, 2)
    assert layer.to(float).weight.dtype is clgrad.float64
    assert layer.to(dtype=float).weight.dtype is clgrad.float64
    with pytest.raises(TypeError):
        layer.to(int)


_MASK, _FIRST = "torch.tensor([True, False])", "torch.tensor([0])"


def _outcome(torch, program, **names):
    """The values and dtype of a program's result, or the class and first line of its error."""
    try:
        result = eval(program, {"torch": torch, "inf": float("inf"), "nan": float("nan"), **names})
    except Exception as error:
        return type(error), str(error).splitlines()[0]
    return str(result.tolist()), str(result.dtype)


@pytest.mark.parametrize("kind", ["float16", "float32", "uint8", "bool"])
@pytest.mark.parametrize("program", [
    f"x.masked_fill({_MASK}, v)", f"x.masked_fill_({_MASK}, v)", f"x.masked_fill({_MASK}, torch.tensor(v))",
    f"x.index_fill(0, {_FIRST}, v)", f"x.index_fill_(0, {_FIRST}, torch.tensor(v))", f"x.scatter(0, {_FIRST}, v)",
    f"x.scatter_(0, {_FIRST}, v, reduce='add')", "torch.nn.functional.pad(x, (1, 1), value=v)", "x.clamp(max=v)",
    "x.clamp(-v, v)", "x.clamp_min(-v)", "torch.full((2,), v, dtype=x.dtype)", "torch.full_like(x, v)", "x.new_full((2,), v)",
    "x.fill_(v)", "x[::2].fill_(v)", "torch.where(x == 0, x, v)", "x.add(x, alpha=v)", "x + v", "x.add_(v)", "x < v",
    "torch.scalar_tensor(v, dtype=x.dtype)", "x.__setitem__(0, v) or x", f"x.__setitem__({_FIRST}, v) or x",
    f"x.__setitem__({_MASK}, v) or x",
])
def test_numbers_out_of_range_are_refused_where_pytorch_refuses_them(torch, program, kind):
    for value in (1e39, 1e5, inf, nan, 300, 2**31, 1) if kind.startswith(("f", "b")) else (300, 2**31, 1):
        expected, found = (_outcome(library, program, x=library.zeros(2, dtype=getattr(library, kind)), v=value)
                           for library in (torch, clgrad))
        assert found[0] == expected[0], (value, found, expected)
        if "without overflow" in str(expected[1]):
            assert found[1] == expected[1], value


@pytest.mark.parametrize("program", [
    "torch.ones(2).addcmul(torch.ones(2), torch.ones(2), value=1e39)", "torch.lerp(torch.zeros(1), torch.ones(1), 1e39)",
    "torch.linspace(0, 300, 3, dtype=torch.int8)", "torch.linspace(0, 1e5, 3, dtype=torch.float16)",
    "torch.ones(1, 1).addmm(torch.ones(1, 1), torch.ones(1, 1), beta=1e39)", "torch.ones(1) ** 1e39",
    "torch.nn.functional.leaky_relu(torch.ones(1), 1e39)", "torch.ones(1, dtype=torch.float16) ** 1e5",
    "torch.ones(2, dtype=torch.int8).index_add(0, torch.tensor([0]), torch.ones(1, dtype=torch.int8), alpha=300)",
    "torch.full((2,), 127.5, dtype=torch.int8)", "torch.full((2,), -0.5, dtype=torch.uint8)",
    "torch.full((2,), -3, dtype=torch.uint8)", "torch.tensor([1, 2]).fill_(1j)", "torch.tensor([1, 2]).fill_(3 + 0j)",
    "torch.full((2,), 1j, dtype=torch.int64)", "torch.ones(2).fill_(1j)", f"torch.tensor([1, 2]).masked_fill({_MASK}, 1j)",
])
def test_factors_out_of_range(torch, program):
    assert _outcome(clgrad, program) == _outcome(torch, program)


_OPERANDS = ["torch.tensor([True, False])", "torch.tensor([1, 2])", "torch.tensor([.5, 2.])", "torch.tensor(True)", "True",
             "1", "1.5"]


@pytest.mark.parametrize("program", [
    "a - b", "torch.sub(a, b)", "torch.sub(a, b, alpha=2)", "torch.rsub(a, b)", "a.sub_(b)", "a.subtract(b)",
    "torch.sub(a, b, out=torch.empty(0))",
])
def test_masks_are_not_subtracted(torch, program):
    for a in _OPERANDS:
        for b in _OPERANDS:
            if "tensor" in a + b:
                expected, found = (_outcome(library, program, a=eval(a, {"torch": library}), b=eval(b, {"torch": library}))
                                   for library in (torch, clgrad))
                assert found[0] == expected[0], (a, b, found, expected)
                if "Subtraction" in str(expected[1]):
                    assert found[1] == expected[1], (a, b)


@pytest.mark.parametrize("program", [
    "torch.lerp(x, x.double(), .5)", "torch.lerp(x, x, x.double())",
    "torch.lerp(x, x, torch.tensor(.5, dtype=torch.float64))",
    "torch.lerp(x.int(), x.int(), .5)", "torch.lerp(x, x.int(), .5)", "x.lerp_(x.half(), .5)",
])
def test_ends_of_an_interpolation_have_one_dtype(torch, program):
    assert _outcome(clgrad, program, x=clgrad.ones(2)) == _outcome(torch, program, x=torch.ones(2))


@pytest.mark.parametrize("program", [
    "torch.addmv(torch.ones(2), torch.ones(3, 0), torch.ones(0))",
    "torch.addmv(torch.ones(1), torch.ones(0, 2), torch.ones(2))",
    "torch.addmv(torch.full((3,), nan), torch.ones(3, 0), torch.ones(0), beta=0)",
    "torch.addmv(torch.ones(3), torch.ones(3, 0), torch.ones(0), beta=2, alpha=nan)",
])
def test_products_with_empty_vectors(torch, program):
    assert _outcome(clgrad, program) == _outcome(torch, program)


def test_a_bool_factor_of_masks():
    mask = clgrad.tensor([True, False])
    assert clgrad.add(mask, ~mask, alpha=True).tolist() == [True, True]


def test_unsigned_integers_take_the_opposite_of_what_fits():
    x = clgrad.tensor([1, 200], dtype=clgrad.uint8)
    assert x.clamp(max=-1).tolist() == [1, 200]
    assert x.clamp(min=-5).tolist() == [251, 251]
    with pytest.raises(RuntimeError, match="without overflow"):
        x.clamp(min=-256)


@pytest.mark.parametrize("kind", [clgrad.float16, clgrad.bfloat16])
def test_comparisons_with_half_precision(kind):
    x = clgrad.tensor([0.1, 1.0, 0.3], dtype=kind)
    assert (x == 0.1).tolist() == [True, False, False]
    assert (x <= 0.1).tolist() == [True, False, False]
    assert (x != 1 + 1e-6).tolist() == [True, False, True]


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pools_of_large_integers_are_exact(name):
    x = clgrad.tensor([[[[2**62 + 1, 2**62], [-(2**62), -5]]]])
    expected = 2**62 + 1 if name == "max_pool2d" else (2**62 - 4) // 4
    assert getattr(clgrad.nn.functional, name)(x, 2).item() == expected


def test_distances_of_order_zero():
    nan, inf = float("nan"), float("inf")
    a, b = clgrad.tensor([[inf, 1.0], [nan, 1.0]]), clgrad.tensor([[1.0, 1.0], [2.0, 3.0], [inf, 1.0]])
    np.testing.assert_equal(clgrad.cdist(a, b, p=0).tolist(), [[1, 2, nan], [nan, nan, nan]])
    np.testing.assert_equal(clgrad.nn.functional.pdist(clgrad.cat([a, b[:1]]), 0).tolist(), [nan, 1, nan])
    difference = clgrad.tensor([[0.5, 0.0, -1e-3]], requires_grad=True)
    clgrad.cdist(difference, clgrad.zeros(1, 3), p=0).sum().backward()
    assert difference.grad.tolist() == [[0, 0, 0]]


def test_trigamma_of_large_numbers():
    x = clgrad.tensor([1e30, 1e25], dtype=clgrad.float32)
    np.testing.assert_allclose(clgrad.polygamma(1, x).tolist(), [1e-30, 1e-25], rtol=1e-6)


def test_dropout_of_masks():
    assert clgrad.nn.functional.dropout(clgrad.tensor([True]), 1.0).dtype is clgrad.bool
    with pytest.raises(RuntimeError, match="Bool"):
        clgrad.nn.functional.dropout(clgrad.tensor([True]), 0.5)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["add", "sub", "fmod", "remainder", "pow", "maximum", "mul", "div", "floor_divide"])
def test_numbers_beside_half_precision(name, kind, torch):
    """They are rounded to the dtype first, but as factors, which PyTorch keeps in float32."""
    x = torch.linspace(-9, 9, 500).to(getattr(torch, kind))
    ours = clgrad.tensor(x.float().numpy()).to(getattr(clgrad, kind))
    for number in (2.3, -0.7):
        operands = [torch.tensor(number), clgrad.tensor(number)] if name == "maximum" else [number, number]
        expected, found = getattr(x, name)(operands[0]), getattr(ours, name)(operands[1])
        np.testing.assert_array_equal(found.float().numpy(), expected.float().numpy())


@pytest.mark.parametrize("program", [
    lambda x, factor: x.addcmul(x, x, value=factor), lambda x, factor: clgrad.add(x, x, alpha=factor),
    lambda x, factor: x.sub_(x, alpha=factor)])
def test_factors_get_no_gradient(program):
    x, factor = clgrad.ones(2), clgrad.tensor(2.0)
    assert program(x.clone(), factor) is not None
    with pytest.raises(TypeError, match="requires grad"):
        program(x, factor.requires_grad_())


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_quotients_of_half_precision_are_rounded_before_they_are_cut_off(kind, torch):
    a, b = (torch.tensor(np.random.default_rng(seed).normal(0, 30, 3000)).to(getattr(torch, kind)) for seed in (0, 1))
    x, y = (clgrad.tensor(t.float().numpy()).to(getattr(clgrad, kind)) for t in (a, b))
    expected = torch.div(a, b, rounding_mode="trunc").float().numpy()
    np.testing.assert_array_equal(clgrad.div(x, y, rounding_mode="trunc").float().numpy(), expected)
    np.testing.assert_array_equal(x.clone().div_(y, rounding_mode="trunc").float().numpy(), expected)
    x.requires_grad_()
    clgrad.div(x, y, rounding_mode="trunc").sum().backward()
    assert not x.grad.any()


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_next_number_of_half_precision(kind, torch):
    numbers = [0.0, -0.0, 1.0, -1.0, 0.01, 65504.0, 6e-8, -3e-5, float("inf"), -float("inf"), float("nan")]
    a = torch.tensor(numbers).to(getattr(torch, kind))
    b = torch.tensor([2.0, -2.0, 0.0, float("inf"), -float("inf"), float("nan")]).to(a.dtype).unsqueeze(1)
    x, y = (clgrad.tensor(t.tolist(), dtype=getattr(clgrad, kind)) for t in (a, b))
    expected = torch.nextafter(a, b).float().numpy()
    np.testing.assert_array_equal(clgrad.nextafter(x, y).float().numpy(), expected)
    np.testing.assert_array_equal(x.clone().nextafter_(y[0]).float().numpy(), expected[0])


def test_a_wider_out_does_not_change_what_is_computed():
    x, out = clgrad.tensor(33000.0, dtype=clgrad.float16), clgrad.empty(0, dtype=clgrad.float64)
    assert clgrad.add(x, x, out=out).item() == float("inf")
    assert clgrad.div(x, 7, out=out).item() == (x / 7).item()


def test_another_out_does_not_change_integers_that_wrap_around():
    a, b = clgrad.tensor([5], dtype=clgrad.uint8), clgrad.tensor([8], dtype=clgrad.uint8)
    for kind in (clgrad.float64, clgrad.int64, clgrad.int8):
        expected = np.array([253], np.uint8).astype(str(kind).removeprefix("torch."))
        assert clgrad.sub(a, b, out=clgrad.empty(0, dtype=kind)).tolist() == expected.tolist()
    with pytest.raises(RuntimeError):
        clgrad.div(a, b, out=clgrad.empty(1, dtype=clgrad.int64))


@pytest.mark.parametrize("exponent", [2.0, 3.0, 1.0, 0.5, -1.0])
def test_integers_to_the_power_of_a_float_are_floating_point(exponent):
    x = clgrad.tensor([3, 4], dtype=clgrad.int32)
    found = x ** exponent
    assert found.dtype is clgrad.float32
    np.testing.assert_allclose(found.numpy(), np.array([3, 4], np.float32) ** exponent, rtol=1e-6)
    with pytest.raises(RuntimeError, match="can't be cast"):
        x.pow_(exponent)


@pytest.mark.parametrize("exponent", [-1, -2])
def test_integers_have_no_negative_powers(exponent):
    x = clgrad.tensor([3, 4])
    for program in (x.pow, x.pow_, x.__ipow__):
        with pytest.raises(RuntimeError, match="negative integer powers"):
            program(exponent)
    assert (x ** 2).tolist() == [9, 16]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_gradients_at_bounds_that_were_rounded(torch, dtype):
    def program(t):
        found = []
        for clamp in (lambda x: x.clamp(min=3.3), lambda x: x.clamp(max=3.3), lambda x: x.clamp(3.3, 5.0),
                      lambda x: (x * 1).clamp_(min=3.3), lambda x: t._foreach_clamp_min([x], 3.3)[0]):
            x = t.tensor([3.3, 3.2, 3.4], dtype=getattr(t, dtype), requires_grad=True)
            clamp(x).sum().backward()
            found.append(x.grad)
        return found
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("alpha", [1j, 2.5, 2, 1, 1.0, True])
@pytest.mark.parametrize("kind", ["bool", "int64", "float32"])
def test_factors_of_sums(torch, kind, alpha):
    def program(t, call):
        x = t.tensor([1, 0]).to(getattr(t, kind))
        return call(t, x)
    for call in (lambda t, x: t.add(x, x, alpha=alpha), lambda t, x: x.clone().add_(x, alpha=alpha),
                 lambda t, x: t.sub(x, x, alpha=alpha), lambda t, x: t.add(x, 1, alpha=alpha)):
        assert_same_outcome(torch, lambda t: program(t, call))  # noqa: B023
