"""Jacobians, Hessians and their products with vectors, of functions of tensors.

Everything is made of backward passes. A product with a Jacobian from the right (``jvp``) is the derivative, with respect
to ``u``, of the product ``u J`` from the left, which is linear in ``u`` (J. Townsend, "A new trick for calculating
Jacobian vector products", 2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.engine import grad
from clgrad.autograd.grad_mode import enable_grad
from clgrad.autograd.graph import TensorBase
from clgrad.ops.registry import FUNCTIONS

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple_of(value: Any, what: str, name: str) -> tuple[tuple, bool]:
    """A tensor or a tuple of tensors as a tuple, and whether it was one."""
    several = isinstance(value, (tuple, list))
    items = tuple(value) if several else (value,)
    for index, item in enumerate(items):
        if not isinstance(item, TensorBase):
            if several:
                raise TypeError(f"The {what} {name} must be either a Tensor or a tuple of Tensors but the value at index "
                                f"{index} has type {type(item)}.")
            raise TypeError(f"The {what} {name} must be either a Tensor or a tuple of Tensors but the given {what} has "
                            f"type {type(item)}.")
    return items, several


def _leaves(inputs: tuple, create_graph: bool) -> tuple:
    """The inputs as tensors to differentiate by: in the caller's graph with ``create_graph``, else outside of it."""
    return tuple([x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_() for x in inputs])


def _released(values: tuple, create_graph: bool) -> tuple:
    return values if create_graph else tuple([v.detach() for v in values])


def _shaped(tuples: tuple, several: bool) -> Any:
    return tuples if several else tuples[0]


_RETURNS = "the user-provided function returns"
_TAKES = "the input to the user-provided function is"


def _vectors(v: Any, like: tuple, several: bool, name: str, whose: str) -> tuple:
    """The vectors to multiply with, checked; ones where there is one element and none was given."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"The vector v can only be None if {whose} a single Tensor with a single element.")
        return tuple([FUNCTIONS["ones_like"](x) for x in like])
    vectors, _ = _tuple_of(v, "v", f"given to {name}")
    if len(vectors) != len(like):
        raise RuntimeError(f"v is a tuple of invalid length: should be {len(like)} but got {len(vectors)}." if several else
                           "The given v should contain a single Tensor.")
    for index, (vector, x) in enumerate(zip(vectors, like, strict=True)):
        if vector.shape != x.shape:
            raise RuntimeError(f"Entry {index} in v has invalid size: should be {x.shape} but got {vector.shape}")
    return vectors


def _gradients(outputs: tuple, inputs: tuple, seeds: Any, create: bool, retain: bool, strict: bool,
               what: str = "The output", whose: str = "input") -> tuple:
    """The gradients, zeros where an input is not used; with ``strict`` that is an error about ``what``."""
    pairs = [(o, None if seeds is None else s)
             for o, s in zip(outputs, seeds or outputs, strict=True) if o.requires_grad]
    if not pairs:
        found: tuple = (None,) * len(inputs)
    else:
        found = grad([o for o, _ in pairs], inputs, None if seeds is None else [s for _, s in pairs],
                     retain or create, create, allow_unused=True)
    for number, g in enumerate(found):
        if strict and g is None:
            raise RuntimeError(f"{what} of the user-provided function is independent of {whose} {number}. This is not "
                               "allowed in strict mode.")
        if strict and create and not g.requires_grad:
            raise RuntimeError(f"The jacobian of the user-provided function is independent of input {number}. This is not "
                               "allowed in strict mode when create_graph=True: the jacobian of the user-provided function "
                               f"with respect to input {number} is independent of the input.")
    return tuple([FUNCTIONS["zeros_like"](x) if g is None else g for g, x in zip(found, inputs, strict=True)])


def _call(func: Callable, inputs: tuple, name: str, strict: bool) -> tuple[tuple, bool]:
    outputs, several = _tuple_of(func(*inputs), "outputs", f"of the user-provided function given to {name}")
    if strict:
        _check_outputs(outputs)
    return outputs, several


def _check_outputs(outputs: tuple) -> None:
    for number, output in enumerate(outputs):
        if not output.requires_grad:
            raise RuntimeError(f"Output {number} of the user-provided function does not require gradients. The outputs must "
                               "be computed in a differentiable manner from the input when running in strict mode.")


def vjp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(``func(*inputs)``, ``v`` times the Jacobian).

    Args:
        v: of the outputs' shapes; may be left out where the function returns one number.
        create_graph: the results are differentiable.
        strict: a RuntimeError where an output does not depend on an input, instead of zeros.

    >>> import clgrad
    >>> clgrad.autograd.functional.vjp(lambda x: x * x, clgrad.tensor([1., 2.]), clgrad.ones(2))[1]
    tensor([2., 4.])
    """
    given, several = _tuple_of(inputs, "inputs", "given to vjp")
    with enable_grad():
        leaves = _leaves(given, create_graph)
        outputs, several_outputs = _call(func, leaves, "vjp", strict)
        vectors = _vectors(v, outputs, several_outputs, "vjp", _RETURNS)
    with enable_grad():
        found = _gradients(outputs, leaves, vectors, create_graph, False, strict)
    return (_shaped(_released(outputs, create_graph), several_outputs), _shaped(_released(found, create_graph), several))


def jvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(``func(*inputs)``, the Jacobian times ``v``); ``v`` has the inputs' shapes.

    >>> import clgrad
    >>> clgrad.autograd.functional.jvp(lambda x: x * x, clgrad.tensor([1., 2.]), clgrad.ones(2))[1]
    tensor([2., 4.])
    """
    given, several = _tuple_of(inputs, "inputs", "given to jvp")
    with enable_grad():
        leaves = _leaves(given, create_graph)
        vectors = _vectors(v, leaves, several, "jvp", _TAKES)
        outputs, several_outputs = _call(func, leaves, "jvp", strict)
        seeds = tuple([FUNCTIONS["ones_like"](o, requires_grad=True) for o in outputs])
        products = _gradients(outputs, leaves, seeds, True, True, strict)
        found = _gradients(products, seeds, vectors, create_graph, False, strict, whose="entry")
    return (_shaped(_released(outputs, create_graph), several_outputs),
            _shaped(_released(found, create_graph), several_outputs))


def jacobian(func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
             strategy: str = "reverse-mode") -> Any:
    """The Jacobian of ``func``: for one input and one output a tensor of the output's shape followed by the input's.

    Tuples of inputs or outputs give tuples: ``jacobian[output][input]``. ``vectorize`` and ``strategy`` are accepted;
    the result is the same, one backward pass an element of the outputs.

    >>> import clgrad
    >>> clgrad.autograd.functional.jacobian(lambda x: x * x, clgrad.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your function has '
                             'more outputs than inputs, "forward-mode" tends to be more performant. Otherwise, prefer to '
                             'use "reverse-mode".')
    if strict and vectorize:
        raise RuntimeError("clgrad.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not supported "
                           "together. Please either set `strict=False` or `vectorize=False`.")
    given, several = _tuple_of(inputs, "inputs", "given to jacobian")
    with enable_grad():
        leaves = _leaves(given, create_graph)
        outputs, several_outputs = _call(func, leaves, "jacobian", strict)
        table = []
        for number, output in enumerate(outputs):
            rows = [_gradients((element,), leaves, None, create_graph, True, strict, f"Output {number}")
                    for element in output.reshape(-1).unbind(0)]
            table.append(tuple([
                FUNCTIONS["stack"]([row[k] for row in rows]).reshape((*output.shape, *x.shape)) if rows
                else output.new_zeros((*output.shape, *x.shape)) for k, x in enumerate(leaves)]))
    return _shaped(tuple([_shaped(_released(row, create_graph), several) for row in table]), several_outputs)


def _check_first(derivatives: tuple, strict: bool) -> None:
    """RuntimeError, in strict mode, where first derivatives are constant."""
    for number, part in enumerate(derivatives):
        if strict and not part.requires_grad:
            raise RuntimeError(f"The jacobian of the user-provided function with respect to input {number} is independent of "
                               "the input. This is not allowed in strict mode.")


def _scalar(func: Callable, name: str, strict: bool = False) -> Callable:
    def checked(*inputs: Any) -> Any:
        output = func(*inputs)
        values, several = _tuple_of(output, "outputs", f"of the user-provided function given to {name}")
        if several:
            raise RuntimeError(f"The function given to {name} should return a single Tensor")
        if values[0].numel() != 1:
            raise RuntimeError(f"The Tensor returned by the function given to {name} should contain a single element")
        if strict:
            _check_outputs(values)
        return values[0].squeeze()
    return checked


def hessian(func: Callable, inputs: Any, create_graph: bool = False, strict: bool = False, vectorize: bool = False,
            outer_jacobian_strategy: str = "reverse-mode") -> Any:
    """The second derivatives of a function that returns one number: a tensor, or ``hessian[input][input]``.

    >>> import clgrad
    >>> clgrad.autograd.functional.hessian(lambda x: (x ** 3).sum(), clgrad.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    _tuple_of(inputs, "inputs", "given to hessian")
    if strict and vectorize:
        raise RuntimeError("clgrad.autograd.functional.hessian: `strict=True` and `vectorized=True` are not supported "
                           "together. Please either set `strict=False` or `vectorize=False`.")
    checked = _scalar(func, "hessian", strict)

    def first(*args: Any) -> Any:
        found = jacobian(checked, args if isinstance(inputs, (tuple, list)) else args[0], create_graph=True)
        _check_first(found if isinstance(found, tuple) else (found,), strict)
        return found
    return jacobian(first, inputs, create_graph=create_graph, strict=strict)


def vhp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(``func(*inputs)``, ``v`` times the Hessian) of a function that returns one number."""
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


def hvp(func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> tuple:
    """(``func(*inputs)``, the Hessian times ``v``). The Hessian is symmetric: the same numbers as :func:`vhp`."""
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")


def _hessian_product(func: Callable, inputs: Any, v: Any, create_graph: bool, strict: bool, name: str) -> tuple:
    given, several = _tuple_of(inputs, "inputs", f"given to {name}")
    with enable_grad():
        leaves = _leaves(given, create_graph)
        vectors = _vectors(v, leaves, several, name, _TAKES)
        output = _scalar(func, name, strict)(*leaves)
        first = _gradients((output,), leaves, None, True, True, strict)
        found = _gradients(first, leaves, vectors, create_graph, False, strict, "The jacobian")
    return _released((output,), create_graph)[0], _shaped(_released(found, create_graph), several)
