"""Drawing from given probabilities."""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, operator


def _check_weights(p: Any, unequal: bool) -> None:
    """RuntimeError where there is a negative, infinite or NaN weight, or a row of zeros. ``unequal``: no place is drawn twice
    in a row."""
    sums = p.sum(-1)
    low, high = FUNCTIONS["aminmax"](sums) if sums.spec.numel > 1 else (sums, sums)
    if p.amin().item() >= 0 and low.item() > 0 and high.item() < float("inf"):
        return
    if not bool(p.ge(0).logical_and(p.lt(float("inf"))).all()):
        if unequal:
            raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
        found = "< 0" if bool(p.lt(0).any()) else "= infinity or NaN"
        raise RuntimeError(f"invalid multinomial distribution (encountering probability entry {found})")
    if not bool(sums.gt(0).all()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")


@operator("multinomial")
def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None) -> Any:
    """``num_samples`` places drawn in each row with probabilities proportional to its elements, as int64.

    With replacement by bisection in running sums; without, the largest of p / e with exponentially distributed e
    (Efraimidis and Spirakis, 2006). RuntimeError for negative, infinite or all-zero rows.
    """
    own = input.spec
    if own.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not own.dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {own.dtype.name}")
    if out is not None and out.spec.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.spec.dtype.name}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > own.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if own.ndim == 2 and not own.shape[0]:
        return store("multinomial", input.new_empty((0, num_samples), dtype=dtypes.int64), out)
    with no_grad():
        p = input.detach()
        p = p if own.dtype.itemsize > 2 else p.float()
        if own.shape[-1] > 1 << 24:
            raise RuntimeError("number of categories cannot exceed 2^24")
        _check_weights(p, not replacement or num_samples == 1)
        if not replacement:
            weights = FUNCTIONS["_race"](p, p.new_empty(own.shape).uniform_(generator=generator))
            first = weights.argmax(-1, keepdim=True) if num_samples == 1 else weights.topk(num_samples, -1).indices
            return store("multinomial", first, out)
        sums = p.cumsum(-1)
        marks = p.new_empty((*own.shape[:-1], num_samples)).uniform_(generator=generator) * sums[..., -1:]
        # A product may round up to the whole sum: the last place with a probability takes it.
        places = FUNCTIONS["searchsorted"](sums, marks, right=True)
        last = FUNCTIONS["searchsorted"](sums, sums[..., -1:].contiguous())
        return store("multinomial", FUNCTIONS["minimum"](places, last), out)
