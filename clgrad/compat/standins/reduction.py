"""``torch.nn._reduction``: the ways to reduce a loss, by name and number."""

from __future__ import annotations

import warnings

_NUMBERS = {"none": 0, "mean": 1, "elementwise_mean": 1, "sum": 2}


def get_enum(reduction: str) -> int:
    """The number of a reduction."""
    if reduction not in _NUMBERS:
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return _NUMBERS[reduction]


def legacy_get_string(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> str:
    """The reduction that two old arguments mean."""
    average, reduced = size_average is not False, reduce is not False
    meant = ("mean" if average else "sum") if reduced else "none"
    if emit_warning:
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{meant}' "
                      "instead.", stacklevel=3)
    return meant


def legacy_get_enum(size_average: bool | None, reduce: bool | None, emit_warning: bool = True) -> int:
    """The number of the reduction that two old arguments mean."""
    return get_enum(legacy_get_string(size_average, reduce, emit_warning))


class _Reduction:
    """The functions of this module as ``torch.nn.functional`` has them."""

    get_enum = staticmethod(get_enum)
    legacy_get_string = staticmethod(legacy_get_string)
    legacy_get_enum = staticmethod(legacy_get_enum)
