"""Einstein's summation convention: products of labelled dimensions, as batched matrix products."""

from __future__ import annotations

import functools
import string
from math import prod
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.ops.interception import intercepted, quick_form
from clgrad.ops.linalg import matmul
from clgrad.ops.registry import publish
from clgrad.shapes import Shape

_LETTERS = string.ascii_uppercase + string.ascii_lowercase
Labels = tuple[str, ...]


def einsum(*args: Any) -> Any:
    """The sum of products of elements over labelled dimensions.

    ``einsum("ij,jk->ik", a, b)``: a label an operand's dimension; those that the result does not name are summed.
    Without ``->`` the result has the labels that occur once, in alphabetical order. ``...`` stands for dimensions that
    are broadcast; a label twice in one operand takes its diagonal. ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` gives the
    labels as numbers.

    >>> import clgrad
    >>> clgrad.einsum("ii->i", clgrad.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    if len(args) < 2:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or at least one operand "
                         "and its subscripts list")
    if isinstance(args[0], TensorBase):
        equation, operands = _from_lists(args)
    else:
        if not isinstance(args[0], str):
            raise TypeError(f"einsum(): argument 'equation' (position 1) must be str, not {type(args[0]).__name__}")
        equation, operands = args[0], list(args[1:])
    inputs, result = _parse(equation, tuple([t.spec.shape for t in operands]))
    pieces = [_diagonals(t, labels) for t, labels in zip(operands, inputs, strict=True)]
    return _contract(pieces, result)


def _with_listed_operands(*args: Any) -> Any:
    """Operands in a list are given one by one, so that whoever listens to calls sees them."""
    if len(args) == 2 and isinstance(args[1], (tuple, list)) and not isinstance(args[0], TensorBase):
        args = (args[0], *args[1])
    return _told(*args)


_told = intercepted(einsum, "einsum")
functools.update_wrapper(_with_listed_operands, einsum)
publish(quick_form(_with_listed_operands, _told), "einsum", method=False)


def _from_lists(args: tuple) -> tuple[str, list]:
    """The equation of the form with lists of numbers; numbers 0-25 are capitals, so that their order is that of letters."""
    def letters(numbers: Any) -> str:
        found = ""
        for n in numbers:
            if n is Ellipsis:
                found += "..."
            elif not 0 <= n < 52:
                raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
            else:
                found += _LETTERS[n]
        return found
    operands = list(args[0:len(args) // 2 * 2:2])
    equation = ",".join(letters(labels) for labels in args[1::2])
    return (f"{equation}->{letters(args[-1])}" if len(args) % 2 else equation), operands


def _labels(text: str, what: str, offset: int) -> Labels:
    """The labels of one operand, or of the result, whose text begins at ``offset``; ``...`` is a label of its own."""
    found: list[str] = []
    ellipsis = " (...)" if what == "output" else ""
    place = 0
    while place < len(text):
        if text[place] == ".":
            if "..." in found:
                already = f"but an ellipsis{ellipsis} was" if ellipsis else "for which an ellipsis was"
                raise RuntimeError(f"einsum(): found \'.\' for {what} {already} already found")
            if not text.startswith("...", place):
                raise RuntimeError(f"einsum(): found \'.\' for {what} that is not part of any ellipsis{ellipsis}")
            found.append("...")
            place += 2
        elif text[place] in _LETTERS:
            found.append(text[place])
        elif text[place] != " ":
            raise RuntimeError(f"einsum(): invalid subscript given at index {offset + place} in the equation string, "
                               "subscripts must be in [a-zA-Z]")
        place += 1
    return tuple(found)


@functools.lru_cache(maxsize=1024)
def _parse(equation: str, shapes: tuple[Shape, ...]) -> tuple[list[Labels], Labels]:
    """The labels of each operand and of the result; dimensions under ``...`` are numbered."""
    left, arrow, right = equation.partition("->")
    texts = left.split(",")
    if len(texts) != len(shapes):
        more = "more" if len(shapes) > len(texts) else "fewer"
        raise RuntimeError(f"einsum(): {more} operands were provided than specified in the equation")
    inputs: list[Labels] = []
    sizes: dict[str, int] = {}
    covered = offset = 0
    for number, (text, shape) in enumerate(zip(texts, shapes, strict=True)):
        labels = _labels(text, f"operand {number}", offset)
        offset += len(text) + 1
        named = len(labels) - ("..." in labels)
        hidden = len(shape) - named
        if hidden < 0 or (hidden and "..." not in labels):
            wrong, rest = ("is more than", "") if "..." in labels else ("does not match", " and no ellipsis was given")
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({named}) {wrong} the number of "
                               f"dimensions ({len(shape)}) for operand {number}{rest}")
        covered = max(covered, hidden if "..." in labels else 0)
        full = _spelled_out(labels, hidden)
        for label, size in zip(full, shape, strict=True):
            if full.count(label) > 1 and size != (first := shape[full.index(label)]):
                raise RuntimeError(f"einsum(): subscript {label} is repeated for operand {number} but the sizes don't match, "
                                   f"{size} != {first}")
            if size != sizes.setdefault(label, size):
                if 1 not in (size, sizes[label]):
                    raise RuntimeError(f"einsum(): subscript {label} has size {size} for operand {number} which does not "
                                       f"broadcast with previously seen size {sizes[label]}")
                sizes[label] = max(size, sizes[label]) if 0 not in (size, sizes[label]) else 0
        inputs.append(full)
    if not arrow:
        once = [x for labels in inputs for x in labels]
        return inputs, (*_spelled_out(("...",), covered),
                        *sorted(x for x in set(once) if once.count(x) == 1 and x in _LETTERS))
    result = _spelled_out(_labels(right, "output", len(left) + 2), covered)
    for label in result:
        if result.count(label) > 1:
            raise RuntimeError(f"einsum(): output subscript {label} appears more than once in the output")
        if label not in sizes:
            raise RuntimeError(f"einsum(): output subscript {label} does not appear in the equation for any input operand")
    return inputs, result


def _spelled_out(labels: Labels, hidden: int) -> Labels:
    """Labels with ``...`` replaced by one label a dimension, counted from the last so that they broadcast."""
    found: list[str] = []
    for label in labels:
        found += [f"...{place}" for place in range(hidden, 0, -1)] if label == "..." else [label]
    return tuple(found)


def _diagonals(t: Any, labels: Labels) -> tuple[Any, Labels]:
    """The operand with each label once."""
    while len(set(labels)) < len(labels):
        first = next(place for place, label in enumerate(labels) if label in labels[place + 1:])
        second = labels.index(labels[first], first + 1)
        a, b = t.spec.shape[first], t.spec.shape[second]
        if a != b:
            raise RuntimeError(f"einsum(): subscript {labels[first]} is repeated for an operand but the sizes don't match, "
                               f"{a} != {b}")
        t = t.diagonal(0, first, second)
        labels = (*(x for place, x in enumerate(labels) if place not in (first, second)), labels[first])
    return t, labels


def _contract(pieces: list[tuple[Any, Labels]], result: Labels) -> Any:
    """Multiplies operands from left to right; a label is summed as soon as nothing that follows has it."""
    t, labels = _summed(*pieces[0], {x for _, others in pieces[1:] for x in others} | set(result))
    for place, (other, others) in enumerate(pieces[1:], 1):
        later = {x for _, rest in pieces[place + 1:] for x in rest} | set(result)
        other, others = _summed(other, others, later | set(labels))
        t, labels = _pair(t, labels, other, others, later)
    order = [labels.index(label) for label in result]
    return t if order == sorted(order) and len(pieces) > 1 else t.permute(order)


def _summed(t: Any, labels: Labels, kept: set[str]) -> tuple[Any, Labels]:
    dims = [place for place, label in enumerate(labels) if label not in kept]
    return (t.sum(dims), tuple([x for x in labels if x in kept])) if dims else (t, labels)


def _pair(a: Any, first: Labels, b: Any, second: Labels, kept: set[str]) -> tuple[Any, Labels]:
    """The product of two operands, summed over the labels that are not kept, by one batched matrix product."""
    size_a, size_b = dict(zip(first, a.spec.shape, strict=True)), dict(zip(second, b.spec.shape, strict=True))
    # Of a label in both, summed, a size of 1 on one side lets the other side be summed first.
    for label in [x for x in first if x in size_b and x not in kept and size_a[x] != size_b[x]]:
        if size_a[label] == 1:
            b = b.sum(second.index(label), keepdim=True)
            size_b[label] = 1
        else:
            a = a.sum(first.index(label), keepdim=True)
            size_a[label] = 1
    batch = [x for x in first if x in size_b and x in kept]
    summed = [x for x in first if x in size_b and x not in kept]
    rows, columns = [x for x in first if x not in size_b], [x for x in second if x not in size_a]
    wide = [max(size_a[x], size_b[x]) if 0 not in (size_a[x], size_b[x]) else 0 for x in batch]
    labels = (*batch, *rows, *columns)
    if all(size_a[x] == 1 for x in summed):
        left = a.permute([first.index(x) for x in (*batch, *rows, *summed)])
        left = left.reshape([*left.shape[:len(batch) + len(rows)], *[1] * len(columns)])
        right = b.permute([second.index(x) for x in (*batch, *columns, *summed)])
        right = right.reshape(right.shape[:len(batch) + len(columns)])
        return left * right.reshape([*right.shape[:len(batch)], *[1] * len(rows), *right.shape[len(batch):]]), labels

    def packed(t: Any, own: Labels, sizes: dict[str, int], inner: list[str], outer: list[str]) -> Any:
        order = (*batch, *inner, *outer)
        if order != own:
            t = t.permute([own.index(x) for x in order])
        if wide != [sizes[x] for x in batch]:
            t = t.expand(*wide, *(sizes[x] for x in (*inner, *outer)))
        groups = (inner, outer)
        return _reshaped(t, (*((prod(wide),) if batch else ()), *(prod([sizes[x] for x in group]) for group in groups)))
    product = matmul(packed(a, first, size_a, rows, summed), packed(b, second, size_b, summed, columns))
    return _reshaped(product, (*wide, *[size_a[x] for x in rows], *[size_b[x] for x in columns])), labels


def _reshaped(t: Any, shape: Shape) -> Any:
    return t if t.spec.shape == shape else t.reshape(shape)
