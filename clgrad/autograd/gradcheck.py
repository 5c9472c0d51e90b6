"""Comparing gradients with finite differences, to first and second order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from clgrad.autograd.engine import grad
from clgrad.autograd.grad_mode import enable_grad, tangents_wanted
from clgrad.autograd.graph import TensorBase


class GradcheckError(RuntimeError):
    """The analytical and the numerical gradient differ."""


def _tuple(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _differentiable(outputs: Any) -> list:
    return [o for o in _tuple(outputs) if isinstance(o, TensorBase) and o.spec.dtype.differentiable]


def _is_complex(value: Any) -> bool:
    return isinstance(value, TensorBase) and value.spec.dtype.is_complex


def _of_parts(func: Callable, inputs: tuple) -> tuple[Callable, tuple]:
    """A function of complex numbers as one of their real and imaginary parts, numbers of their own, with these of the inputs.

    The parts share the inputs' memory.
    """
    leaves: list[Any] = []
    for t in inputs:
        leaves += ([part.requires_grad_(t.requires_grad) for part in (t.detach().real, t.detach().imag)]
                   if _is_complex(t) else [t])

    def of_parts(*args: Any) -> tuple:
        left = iter(args)
        values = [next(left) + 1j * next(left) if _is_complex(t) else next(left) for t in inputs]
        return tuple([part for o in _tuple(func(*values)) for part in ((o.real, o.imag) if _is_complex(o) else (o,))])
    return of_parts, tuple(leaves)


def _numerical(f: Callable, inputs: tuple, which: int, eps: float) -> list[np.ndarray]:
    """For each output its Jacobian with respect to one input, by central differences.

    The input's elements are changed in place, and put back: a function may hold it otherwise than as its argument.
    """
    data = inputs[which].data
    columns = []
    for place in np.ndindex(*data.shape):
        value, ends = data[place].clone(), []
        for sign in (1, -1):
            data[place] = value + sign * eps
            with enable_grad():  # which results there are may depend on whether they need a gradient
                outputs = f(*inputs)
            # Copies: a result may be a view of the input.
            ends.append([(o.shape, o.dtype, np.array(o.tolist(), np.float64).ravel()) for o in _differentiable(outputs)])
        data[place] = value
        _check_alike(ends, f"on index {place} by {eps}")
        columns.append([(a - b) / (2 * eps) for (*_, a), (*_, b) in zip(*ends, strict=True)])
    return [np.stack([column[k] for column in columns]) if columns else np.zeros((0, 0))
            for k in range(len(columns[0]) if columns else 0)]


def _check_alike(ends: list[list], step: str) -> None:
    """AssertionError where a small step of an input changes the shape or dtype of a result."""
    for above, below in zip(*ends, strict=True):
        for what, one, other in zip(("shape", "dtype"), below, above, strict=False):
            if one != other:
                raise AssertionError(f"Expected `func` to return outputs with the same {what} when inputs are perturbed "
                                     f"{step}, but got: {what}s {one} and {other}.")


def gradcheck(func: Callable, inputs: Any, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0, check_undefined_grad: bool = True,
              check_grad_dtypes: bool = False, check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
              check_forward_ad: bool = False, check_backward_ad: bool = True, fast_mode: bool = False,
              masked: bool | None = None) -> bool:
    """Whether the gradients of ``func`` agree with central differences of step ``eps``.

    Real and imaginary parts of complex numbers are numbers of their own.

    Args:
        inputs: tensors; those that require gradients are checked and should be float64.
        nondet_tol: by how much two backward passes over the same graph may differ.
        check_backward_ad, check_forward_ad: which derivatives are compared: gradients, and tangents.
        fast_mode: compare each Jacobian along one random direction of its input, weighted by random numbers of its output,
            which takes two evaluations for each input however large it is. Where that disagrees, whole Jacobians are
            compared as without it.
        the other ``check_`` options: accepted; gradients always have their inputs' dtypes.

    Raises:
        GradcheckError: they do not, and ``raise_exception`` is true.
        ValueError: no input requires a gradient.
    """
    if not (check_forward_ad or check_backward_ad):
        raise AssertionError("Expected at least one of check_forward_ad or check_backward_ad to be True")
    inputs = _tuple(inputs)
    if any(map(_is_complex, inputs)) or any(map(_is_complex, _tuple(func(*inputs)))):
        func, inputs = _of_parts(func, inputs)
    checked = [n for n, t in enumerate(inputs) if isinstance(t, TensorBase) and t.requires_grad]
    if not checked:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have "
                         "requires_grad=True.")
    outputs = _differentiable(func(*inputs))
    if fast_mode and _agree_along_directions(func, inputs, checked, outputs, eps, (rtol, atol, nondet_tol),
                                             check_backward_ad, check_forward_ad):
        return True
    rules = [rule for rule, wanted in ((_mismatches, check_backward_ad), (_forward_mismatches, check_forward_ad)) if wanted]
    numerical = [(number, _numerical(func, inputs, number, eps)) for number in checked]
    problems = (problem for rule in rules for number, expected in numerical
                for problem in rule(outputs, inputs[number], number, expected, (rtol, atol, nondet_tol)))
    problem = next(problems, None)
    if problem is not None and raise_exception:
        raise GradcheckError(problem)
    return problem is None


def _direction(like: Any, seed: int) -> Any:
    """Random positive numbers in the shape of a tensor, of length 1."""
    values = np.random.RandomState(seed).uniform(0.1, 1, tuple(like.shape))
    return like.detach().new_tensor(values / (float(np.linalg.norm(values)) or 1))


def _along(f: Callable, x: Any, inputs: tuple, direction: Any, weights: list, eps: float) -> list[float]:
    """For each output the derivative of its weighted sum along a direction of one input, by central differences."""
    data = x.data
    kept, ends = data.clone(), []
    for step in (eps, -eps):
        data.copy_(kept + step * direction)
        with enable_grad():
            outputs = _differentiable(f(*inputs))
        ends.append([(o.shape, o.dtype, o.detach().clone()) for o in outputs])
        data.copy_(kept)
    _check_alike(ends, f"along a direction by {eps}")
    return [((a - b) * w).sum().item() / (2 * eps) for (*_, a), (*_, b), w in zip(*ends, weights, strict=True)]


def _agree_along_directions(func: Callable, inputs: tuple, checked: list[int], outputs: list, eps: float,
                            tolerances: tuple[float, float, float], backward: bool, forward: bool) -> bool:
    """Whether derivatives along a direction of each input, weighted by a vector for each output, are those of differences.

    A wrong element of a Jacobian changes such a number, unless errors of several happen to cancel. The absolute tolerance is
    that of the Jacobian's elements, weighted as they are.
    """
    rtol, atol, nondet_tol = tolerances
    weights = [_direction(o, 1 + k) for k, o in enumerate(outputs)]
    for number in checked:
        x, direction = inputs[number], _direction(inputs[number], 1000 + number)
        for output, weight, expected in zip(outputs, weights, _along(func, x, inputs, direction, weights, eps), strict=True):
            margin = atol * max((direction.sum() * weight.sum()).item(), 1) + rtol * abs(expected)
            found = [_weighted(output, x, weight, direction) for _ in range(2)] if backward else []
            if found and not abs(found[0] - found[1]) <= nondet_tol * direction.sum().item():
                return False
            if forward:
                found.append(_tangent(output, x, weight, direction))
            if not all(abs(value - expected) <= margin for value in found):
                return False
    return True


def _weighted(output: Any, x: Any, weight: Any, direction: Any) -> float:
    """The derivative of an output's weighted sum along a direction of an input, by a backward pass."""
    if not output.requires_grad:
        return 0.0
    (found,) = grad(output, x, weight, retain_graph=True, allow_unused=True)
    return 0.0 if found is None else (found * direction).sum().item()


def _tangent(output: Any, x: Any, weight: Any, direction: Any) -> float:
    """The same by the tangent of the output."""
    if not output.requires_grad:
        return 0.0
    seed, row = _seeded(output, x)
    if row is None or not row.requires_grad:
        return 0.0
    (found,) = grad(row, seed, direction, retain_graph=True, allow_unused=True)
    return 0.0 if found is None else (found * weight).sum().item()


def _mismatches(outputs: list, x: Any, number: int, expected: list[np.ndarray],
                tolerances: tuple[float, float, float]) -> Iterator[str]:
    """What is wrong with the gradients of the outputs with respect to one input."""
    rtol, atol, nondet_tol = tolerances
    recorded = [k for k, output in enumerate(outputs) if output.requires_grad]
    if not recorded and any(jacobian.any() for jacobian in expected):
        yield (f"Numerical gradient for function expected to be zero: no output requires a gradient, but they depend on "
               f"input {number}")
    for k in recorded:
        found = _analytical(outputs[k], x)
        if expected and not np.allclose(found, expected[k], rtol, atol, equal_nan=True):
            yield (f"Jacobian mismatch for output {k} with respect to input {number},\n"
                   f"numerical:\n{expected[k]}\nanalytical:\n{found}")
        if found.size and not np.allclose(_row(outputs[k], x, 0), found[:, 0], 0, nondet_tol, equal_nan=True):
            yield (f"Backward is not reentrant: running it twice for output {k} gives gradients with respect to input "
                   f"{number} that differ by more than nondet_tol={nondet_tol}")


def _forward_mismatches(outputs: list, x: Any, number: int, expected: list[np.ndarray],
                        tolerances: tuple[float, float, float]) -> Iterator[str]:
    """What is wrong with the tangents of the outputs that come from one input."""
    rtol, atol, _ = tolerances
    for k, output in enumerate(outputs):
        found = _forward(output, x)
        if expected and not np.allclose(found, expected[k], rtol, atol, equal_nan=True):
            yield (f"Jacobian computed with forward mode mismatch for output {k} with respect to input {number},\n"
                   f"numerical:\n{expected[k]}\nanalytical:\n{found}")


def _seeded(output: Any, x: Any) -> tuple[Any, Any]:
    """A gradient of the output, and the input's that follows from it; tangents are derivatives of the second by the first."""
    seed = output.detach().new_ones(output.shape, requires_grad=True)
    with tangents_wanted():
        (row,) = grad(output, x, seed, create_graph=True, allow_unused=True)
    return seed, row


def _forward(output: Any, x: Any) -> np.ndarray:
    """The Jacobian by the tangent of the output for each element of the input."""
    found = np.zeros((x.numel(), output.numel()))
    if not output.requires_grad:
        return found
    seed, row = _seeded(output, x)
    for position in range(x.numel() if row is not None and row.requires_grad else 0):
        place = np.zeros(x.numel())
        place[position] = 1
        (tangent,) = grad(row, seed, x.detach().new_tensor(place.reshape(tuple(x.shape))), retain_graph=True,
                          allow_unused=True)
        if tangent is not None:
            found[position] = np.array(tangent.tolist(), np.float64).ravel()
    return found


def _row(output: Any, x: Any, position: int) -> np.ndarray:
    """The gradient of one element of the output."""
    seed = np.zeros(output.numel())
    seed[position] = 1
    (found,) = grad(output, x, output.detach().new_tensor(seed.reshape(tuple(output.shape))), retain_graph=True,
                    allow_unused=True)
    return np.zeros(x.numel()) if found is None else np.array(found.tolist(), np.float64).ravel()


def _analytical(output: Any, x: Any) -> np.ndarray:
    """The Jacobian by one backward pass an element of the output."""
    rows = [_row(output, x, position) for position in range(output.numel())]
    return np.stack(rows, axis=1) if rows else np.zeros((x.numel(), 0))


def gradgradcheck(func: Callable, inputs: Any, grad_outputs: Any = None, *, eps: float = 1e-6, atol: float = 1e-5,
                  rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False, raise_exception: bool = True,
                  nondet_tol: float = 0.0, check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
                  check_batched_grad: bool = False, check_fwd_over_rev: bool = False, check_rev_over_rev: bool = True,
                  fast_mode: bool = False, masked: bool = False) -> bool:
    """Whether the gradients of the gradients agree with central differences; see :func:`gradcheck`.

    Args:
        grad_outputs: the gradients of the outputs; random numbers by default, with ``gen_non_contig_grad_outputs`` apart in
            memory.
    """
    inputs = _tuple(inputs)
    outputs = _differentiable(func(*inputs))
    if grad_outputs is None:
        grad_outputs = [_random_gradient(o, k, gen_non_contig_grad_outputs) for k, o in enumerate(outputs)]
    grad_outputs = _tuple(grad_outputs)
    count = len(inputs)
    checked = [n for n, t in enumerate(inputs) if isinstance(t, TensorBase) and t.requires_grad]

    @enable_grad()
    def gradients(*args: Any) -> tuple:
        values = [a if n not in checked or a.requires_grad else a.detach().requires_grad_()
                  for n, a in enumerate(args[:count])]
        found = _differentiable(func(*values))
        pairs = [(o, g) for o, g in zip(found, args[count:], strict=True) if o.requires_grad]
        result = grad([o for o, _ in pairs], [values[n] for n in checked], [g for _, g in pairs], create_graph=True,
                      allow_unused=True)
        return tuple(r for r in result if r is not None)
    return gradcheck(gradients, (*inputs, *grad_outputs), eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception, nondet_tol=nondet_tol, fast_mode=fast_mode)


def _random_gradient(output: Any, seed: int, apart: bool) -> Any:
    random = np.random.RandomState(seed)
    values = random.uniform(0.5, 1.5, (*output.shape, 2 if apart else 1))
    if _is_complex(output):
        values = values + 1j * random.uniform(0.5, 1.5, values.shape)
    return output.detach().new_tensor(values)[..., 0].requires_grad_()
