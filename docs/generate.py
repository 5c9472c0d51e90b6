"""Writes docs/operators.md from the registry of operators: ``python -m docs.generate``, in the repository's root.

``--check`` writes nothing and fails where the page is out of date.
"""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import clgrad
from clgrad.ops.registry import FUNCTIONS, METHODS, REGISTRY, Pointwise

PAGE = Path(__file__).with_name("operators.md")

HEAD = """# Operators

This page is written by `python -m docs.generate` from the operators themselves; `help(clgrad.exp)` says more of each.

Forms: **f** a function `clgrad.<name>`, **m** a method of Tensor, **i** in place (`<name>_`), **o** the function takes
`out=`.

## What differs from PyTorch

* There are no nested or quantised tensors; of sparse ones more operators are there than in PyTorch, and the results of some
  are said to be coalesced where PyTorch's are not. Of the dtypes there are bool, uint8, int8 to int64, float16, bfloat16,
  float32, float64 and complex128 (where the device has float64) and complex64. `conj` and `mH` of complex tensors are
  tensors of their own, not views; `logcumsumexp` of them may differ by multiples of
  2 pi i.
* float16 and bfloat16 results are computed in float32 and rounded once.
* The random numbers of a seed are others than PyTorch's, and the same on every device.
* An index that is out of range, and a class that does not exist, are an IndexError when a value is read that depends on
  the device, not in the call itself: finding it does not cost a synchronisation. Indices that the host knows (a list, an
  array, a small tensor that no kernel made) and those of small operations that ran at once are an error in the call.
* Values that meet in one element are added in order, so that sums over indices are the same in every run; of values that
  are put in one place the last stays. What a mask selects costs one read-back, of a count; all else waits for nothing.
* `bernoulli` looks whether its probabilities lie in [0, 1] on `cpu` alone: elsewhere that would cost a synchronisation.
* `as_strided_scatter` has zero as the gradient of the elements that were replaced; PyTorch lets it pass through there.
* The tangents of `triangular_solve` and `cholesky_inverse` are the derivatives; PyTorch's are not. Where `max_unpool2d` puts
  several values in one place, tangents are added there; the value, and PyTorch's tangent, is the last one's.
* Where an operator is composed of others its node in the graph may have the name of the last of them; gradients are
  PyTorch's.
* `__torch_function__` is told of properties only where they give tensors (`T`, `data`, ...), and of functions and methods of
  one name as one object: `clgrad.add` is `clgrad.Tensor.add`.
* On CPUs a NaN or an infinity in the input of a 3x3 convolution of many channels, or of its gradient, may reach a neighbour
  of the results that see it: 2x2 of them are computed together.
* `clgrad.func.vmap` computes all entries at once, as PyTorch's does; what has no rule for batches is called for each entry.
  `jvp` uses backward passes, and `jacfwd` a batch of them.
* `set_num_threads`, `use_deterministic_algorithms`, `backends.cudnn.*` and similar switches are kept and have no effect:
  results are deterministic always, and threads are the OpenCL driver's.
"""

# Results are indices, counts, truths or facts: nothing flows back.
NOT_DIFFERENTIABLE = frozenset([
    "all", "allclose", "any", "arange", "argmax", "argmin", "argsort", "argwhere", "bernoulli",
    "broadcast_shapes", "bucketize", "count_nonzero", "detach", "empty_like", "equal", "full_like",
    "get_device", "hash_tensor", "histc", "histogram", "histogramdd", "imag", "is_coalesced", "is_conj",
    "is_distributed", "is_inference", "is_neg", "is_nonzero", "is_same_size", "is_signed", "isclose", "isin",
    "isreal", "matrix_rank", "multinomial", "new_empty", "new_empty_strided", "new_full", "new_ones",
    "new_tensor", "new_zeros", "nonzero", "nonzero_static", "normal", "ones_like", "poisson", "rand_like",
    "randint_like", "randn_like", "resize_as_", "searchsorted", "tensor", "tril_indices", "triu_indices",
    "unique", "unique_consecutive", "unravel_index", "zeros", "zeros_like",
])
HIDDEN = frozenset({"finfo", "iinfo", "default_generator"})
MODULES: tuple[tuple[str, str], ...] = (("nn.functional", "clgrad.nn.functional"), ("linalg", "clgrad.linalg"),
                                        ("special", "clgrad.special"), ("masked", "clgrad.masked"), ("fft", "clgrad.fft"),
                                        ("signal.windows", "clgrad.signal.windows"))


def sentence(function: Callable) -> str:
    """The first sentence of a docstring, on one line, fit for a table."""
    text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()).replace("|", "\\|")
    return text


def signature(name: str, function: Callable) -> str:
    """``name(input, dim=None)``: the arguments that say something."""
    parts = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("out", "kwargs", "ignored", "size_average", "reduce"):
            continue
        star = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        value = "" if parameter.default is parameter.empty else f"={_text(parameter.default)}"
        parts.append(f"{star}{parameter.name}{value}")
    return f"{name}({', '.join(parts)})".replace("|", "\\|")


def _text(value: object) -> str:
    return value.__name__ if callable(value) and hasattr(value, "__name__") else repr(value)


def forms(name: str) -> str:
    """Which of the forms f, m, i and o an operator has."""
    function = FUNCTIONS.get(name)
    takes_out = name in REGISTRY.pointwise or (
        function is not None and "out" in inspect.signature(function).parameters)
    found = [("f", function is not None), ("m", name in METHODS), ("i", f"{name}_" in METHODS),
             ("o", function is not None and takes_out)]
    return " ".join(letter for letter, there in found if there)


def public(name: str) -> bool:
    """Whether users see an operator; in-place forms stand beside their operator."""
    return not name.startswith("_") and name not in HIDDEN and not (
        name.endswith("_") and name[:-1] in {**METHODS, **FUNCTIONS})


def aliases() -> dict[str, list[str]]:
    """Operators by their first name, with the other names that they have."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, function in {**FUNCTIONS, **METHODS}.items():
        if public(name):
            names[id(function)].append(name)
    return {same[0]: same[1:] for same in names.values()}


def pointwise_table() -> list[str]:
    """The rows of the table of pointwise operators."""
    lines = ["## Pointwise", "", "`a`, `b`, `x` are the operands, broadcast; `g` the incoming gradient, `y` the value. Every "
             "derivative can be differentiated again.", "", "| operator | forms | result | value | gradients |",
             "|---|---|---|---|---|"]
    kinds = {"same": "promoted dtype", "float": "floating point", "bool": "bool", "number": "not bool",
             "real": "floating point alone", "integer": "integer or bool", "whole": "integer"}
    others = aliases()
    for row in sorted((r for r in REGISTRY.pointwise.values() if r.public), key=lambda r: r.name):
        value = _code(row.value.text)
        gradients = "; ".join(f"{n}: {_code(f.text)}" for n, f in row.derivatives.items()) or "none"
        also = f" (also {', '.join(others[row.name])})" if others.get(row.name) else ""
        lines.append(f"| `{_arguments(row)}`{also} | {forms(row.name)} | {kinds[row.kind]} | {value} | {gradients} |")
    return lines


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`".replace("|", "\\|")


def _arguments(row: Pointwise) -> str:
    return f"{row.name}({', '.join([*row.tensors, *(f'{n}={v:g}' for n, v in row.parameters.items())])})"


def family_tables() -> list[str]:
    """A table for each module of operators that have a home of their own."""
    families: dict[str, list[str]] = defaultdict(list)
    others = aliases()
    for name in others:
        function = FUNCTIONS.get(name) or METHODS[name]
        if name not in REGISTRY.pointwise:
            families[function.__module__].append(name)
    lines: list[str] = []
    for module in sorted(families):
        title = (inspect.getdoc(sys.modules[module]) or module).split("\n\n")[0].replace("\n", " ")
        lines += ["", f"## {module.removeprefix('clgrad.').removeprefix('ops.')}", "", title, "",
                  "| operator | forms | gradient | |", "|---|---|---|---|"]
        for name in sorted(families[module]):
            function = FUNCTIONS.get(name) or METHODS[name]
            also = f" (also {', '.join(others[name])})" if others[name] else ""
            gradient = "no" if name in NOT_DIFFERENTIABLE else "yes"
            lines.append(f"| `{signature(name, function)}`{also} | {forms(name)} | {gradient} | {sentence(function)} |")
    return lines


def module_tables() -> list[str]:
    """The functions of the modules that PyTorch has them in."""
    lines: list[str] = []
    for title, path in MODULES:
        module = _module(path)
        if module is None:
            continue
        names = getattr(module, "__all__", None) or [n for n, f in vars(module).items() if inspect.isfunction(f)]
        functions = {n: getattr(module, n) for n in names if not n.startswith("_") and inspect.isfunction(
            getattr(module, n))}
        lines += ["", f"## {title}", "", "| function | |", "|---|---|"]
        lines += [f"| `{signature(n, functions[n])}` | {sentence(functions[n])} |" for n in sorted(functions)]
    return lines


def _module(path: str) -> ModuleType | None:
    found = clgrad
    for part in path.split(".")[1:]:
        found = getattr(found, part, None)  # type: ignore[assignment]
    return found


def text() -> str:
    """The whole page."""
    return HEAD + "\n" + "\n".join([*pointwise_table(), *family_tables(), *module_tables()]) + "\n"


def main(arguments: list[str]) -> int:
    """Writes the page, or with ``--check`` says whether it is up to date."""
    made = text()
    if "--check" in arguments:
        return int(PAGE.read_text(encoding="utf-8") != made)
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
