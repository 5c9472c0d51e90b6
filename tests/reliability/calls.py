"""One random call of a public function: made in clgrad and in PyTorch, and what came of it compared."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import clgrad
from clgrad.errors import BuildError
from clgrad.ops.registry import REGISTRY
from tests.reliability.arguments import FLOATS, WRONG, Draw, Values, chance
from tests.reliability.functions import kinds, required

# What a function may raise; OutOfMemoryError, LinAlgError and NotImplementedError are RuntimeErrors.
DOCUMENTED = (RuntimeError, TypeError, ValueError, IndexError)
TOLERANCE = {"float64": (1e-6, 1e-7), "float32": (2e-4, 2e-4), "float16": (1e-2, 1e-2), "bfloat16": (6e-2, 6e-2)}

# What PyTorch refuses and clgrad computes: dtypes for which PyTorch's kernels were not written, numbers where only tensors
# are taken, masks of uint8. Recognised by PyTorch's messages. Everything else that PyTorch refuses has to be refused.
MORE_THAN_PYTORCH = ("not implemented for", "not supported", "unsupported", "only supports", "Could not run", "scalar type",
                     "same dtype", "dtype", "Complex", "overload", "not yet implemented", "must be Tensor",
                     "invalid combination of arguments", "Float", "Half", "type", "ZeroDivisionError",
                     "does not support bool", "expected BoolTensor", "boolean tensor", "must be tuple of ints",
                     "has no dimensions", "unexpected keyword argument", "missing",
                     "p_in >= 0", "must be float", "must be Number, not Tensor",
                     "Boolean alpha only", "singular", "to be at least 1 at dimension 0",
                     "view size is not compatible",  # kron and isin of transposed tensors
                     "INTERNAL ASSERT FAILED")  # running statistics of two dtypes


# What is refused here although PyTorch computes it where an operand is empty: products of operands of two dtypes.
# A pool over nothing, a transposed convolution's bias of another dtype, keys without values; indices that PyTorch wraps.
LESS_THAN_PYTORCH = ("to have the same dtype", "not implemented for 'Bool'", "to have non-zero size for non-batch dimensions",
                     "weight or bias type", "must have the same length", "take_along_dim(): index -")


class Difference(AssertionError):
    """The two libraries disagree."""


@dataclass
class Call:
    """A function's name and its arguments, as they can be made in either library."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    wrong: bool = False  # whether one argument is of a type that does not belong there

    def make(self, library: Any) -> tuple[list, dict[str, Any]]:
        """Positional and named arguments."""
        row = REGISTRY.pointwise.get(self.name)
        made = {name: _made(library, value) for name, value in self.arguments.items()}
        if row is not None or not made:
            return list(made.values()), {}
        first = next(iter(made))
        if first in ("tensors", "matrices") and self.name in SPREAD and isinstance(made[first], (list, tuple)):
            return list(made.pop(first)), made
        return [made.pop(first)], made


SPREAD = {"atleast_1d", "atleast_2d", "atleast_3d", "block_diag", "broadcast_tensors", "cartesian_prod", "meshgrid"}


def _made(library: Any, value: Any) -> Any:
    if isinstance(value, Values):
        return value.make(library)
    if isinstance(value, (list, tuple)):
        return type(value)(_made(library, item) for item in value)
    if isinstance(value, str) and value in clgrad.dtypes.__dict__:
        return getattr(library, value)
    return value


def drawn(draw: Draw, name: str) -> Call:
    """A call of a function with random arguments."""
    known: dict[str, Any] = {}
    needed = required(name)
    for parameter, kind in kinds(name).items():
        if parameter in needed or chance(draw, 40):
            known[parameter] = kind(draw, known)
    hidden = ("first", "letters")
    arguments = {key: value for key, value in known.items() if key not in hidden}
    call = Call(name, arguments)
    if arguments and chance(draw, 3):
        place = list(arguments)[draw_index(draw, len(arguments))]
        arguments[place] = WRONG[draw_index(draw, len(WRONG))]
        call.wrong = True
    return call


def draw_index(draw: Draw, count: int) -> int:
    """A number below ``count``."""
    return draw(st.integers(0, count - 1))


# What comes of it.

RANDOM = {"bernoulli", "dropout", "multinomial", "poisson"}
# Where several answers are right: places of equal elements, signs and bases of decompositions.
PLACES = {"sort", "topk", "kthvalue", "mode", "median", "nanmedian", "argsort", "msort"}
BASES = {"svd", "qr", "lu"}
# What is not compared, where one of the entries says what is true of a call: the first tensor's layout, content and dtype,
# and other arguments by name.
INCOMPARABLE = {
    **dict.fromkeys(("median", "nanmedian"), ("expanded",)),  # PyTorch 2.13 reads what lies behind their memory
    # Singular, or not finite: rounding decides.
    **dict.fromkeys(("det", "slogdet", "logdet", "pinverse", "cholesky_inverse"), ("expanded", "special")),
    "instance_norm": ("expanded",),  # rows of one value: their rounding, divided by a small number
    "hash_tensor": ("special",),  # NaN has many bit patterns
    **dict.fromkeys(("var_mean", "std_mean"), ("special",)),  # PyTorch's mean of what holds an infinity is NaN
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), ("special float16", "weight=special")),
    **dict.fromkeys(("addbmm", "addmv"), ("alpha=inf",)),  # before or after the sum
    "mode": ("special",), "isin": ("special assume_unique=True",), "topk": ("sorted=False",),  # several answers are right
    "scaled_dot_product_attention": ("special",),  # of no keys: PyTorch's is NaN
    "matrix_exp": ("float16", "bfloat16"),  # PyTorch's overflows
    "polygamma": ("int8", "int16", "int32", "int64", "uint8", "bool"),  # poles, where PyTorch gives large numbers
}
CHANNELS = {"pixel_unshuffle", "conv1d", "conv2d", "conv3d"}  # of none PyTorch makes none
OVERFLOWS = {"softsign"}  # of the smallest integer PyTorch takes the absolute value as an integer


def functions_of(torch: Any, name: str) -> tuple[Any, Any] | None:
    """(clgrad's function, PyTorch's), from the same place; None where PyTorch has none."""
    for path in ("nn.functional", "", "special", "linalg"):
        theirs, ours = torch, clgrad
        for part in path.split(".") if path else ():
            theirs, ours = getattr(theirs, part), getattr(ours, part)
        if hasattr(theirs, name):
            return getattr(ours, name), getattr(theirs, name)
    return None


def _attempt(library: Any, function: Any, call: Call) -> Any:
    """What a call gives, or the exception that it, or a look at its values, ends with."""
    arguments, named = call.make(library)
    try:
        result = function(*arguments, **named)
        _look(result)
        return result
    except Exception as error:  # what may be raised is checked by the caller
        return error


def _flat(result: Any) -> list:
    if isinstance(result, (tuple, list)):
        return [leaf for item in result for leaf in _flat(item)]
    return [result]


def _array(result: Any) -> np.ndarray:
    """The values of either library's tensor."""
    return np.array(result.detach().tolist(), object if str(result.dtype) == "torch.int64" else None).reshape(
        tuple(result.shape))


def compare(name: str, found: Any, expected: Any) -> None:
    """Raises Difference where two results differ in number, shape, dtype or values."""
    ours, theirs = _flat(found), _flat(expected)
    if len(ours) != len(theirs):
        raise Difference(f"{len(ours)} results, not {len(theirs)}")
    for number, (mine, reference) in enumerate(zip(ours, theirs, strict=True)):
        if not hasattr(reference, "stride"):
            if type(mine) is not type(reference) and not hasattr(reference, "is_floating_point"):
                raise Difference(f"{mine!r} instead of {reference!r}")
            continue
        if not isinstance(mine, clgrad.Tensor):
            raise Difference(f"{type(mine).__name__} instead of a tensor")
        if not reference.numel() and name in CHANNELS:
            continue
        if tuple(mine.shape) != tuple(reference.shape):
            raise Difference(f"shape {tuple(mine.shape)} instead of {tuple(reference.shape)}")
        if str(mine.dtype) != str(reference.dtype):
            raise Difference(f"{mine.dtype} instead of {reference.dtype}")
        if name in RANDOM or name in BASES or name in OVERFLOWS or (name in PLACES and (number or name == "argsort")):
            continue
        _compare_values(mine, reference)


def _compare_values(mine: Any, reference: Any) -> None:
    kind = str(reference.dtype).removeprefix("torch.")
    a, b = _array(mine), _array(reference)
    if kind not in FLOATS:
        if (a != b).any():
            raise Difference(f"{mine.tolist()} instead of {reference.tolist()}")
        return
    relative, absolute = TOLERANCE[kind]
    if not np.allclose(a.astype(float), b.astype(float), relative, absolute, equal_nan=True):
        raise Difference(f"{mine.tolist()} instead of {reference.tolist()}")


def check(torch: Any, call: Call) -> str:
    """Makes the call in both libraries; says what came of it in a word, and raises Difference where they disagree."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        ours, theirs = functions_of(torch, call.name) or (None, None)
        expected, found = _attempt(torch, theirs, call), _attempt(clgrad, ours, call)
        if isinstance(found, Exception):
            if not isinstance(found, DOCUMENTED) or isinstance(found, BuildError):
                raise Difference(f"undocumented {type(found).__name__}: {found}") from found
            stricter = call.wrong or any(words in str(found) for words in LESS_THAN_PYTORCH)
            if not (isinstance(expected, Exception) or _is_empty(expected) or stricter):
                raise Difference(f"refuses: {type(found).__name__}: {found}") from found
            return "error"
        if isinstance(expected, Exception):
            if not (call.wrong or _is_empty(found) or any(words in str(expected) for words in MORE_THAN_PYTORCH)):
                raise Difference(f"accepts what raises {type(expected).__name__}: {expected}") from expected
            return "more"
        true = _true_of(call)
        if any(true.issuperset(known.split()) for known in INCOMPARABLE.get(call.name, ())):
            return "incomparable"
        compare(call.name, found, expected)
        return "value"


def _true_of(call: Call) -> set[str]:
    """What entries of ``INCOMPARABLE`` may name."""
    first = next((value for value in call.arguments.values() if isinstance(value, Values)), None)
    own = {first.layout, first.content, first.dtype} if first is not None else set()
    return own | {f"{name}={value.content if isinstance(value, Values) else value}" for name, value in call.arguments.items()}


def _is_empty(result: Any) -> bool:
    """Whether a result has no elements: PyTorch checks arguments for these sometimes more and sometimes less."""
    return any(hasattr(leaf, "numel") and not leaf.numel() for leaf in _flat(result))


def _look(result: Any) -> None:
    """Looks at values, so that a kernel's fault is seen."""
    for leaf in _flat(result):
        if isinstance(leaf, clgrad.Tensor):
            leaf.tolist()
