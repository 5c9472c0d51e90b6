"""What programs that define distributions of their own import from here."""

from typing import Any

from clgrad.distributions.distribution import (
    broadcast_all,
    clamp_probs,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
    tril_matrix_to_vec,
    vec_to_tril_matrix,
)
from clgrad.distributions.distribution import sum_rightmost as _sum_rightmost
from clgrad.sampling import randn

__all__ = ["_standard_normal", "_sum_rightmost", "broadcast_all", "clamp_probs", "lazy_property", "logits_to_probs",
           "probs_to_logits", "tril_matrix_to_vec", "vec_to_tril_matrix"]


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Any:
    return randn(shape, dtype=dtype, device=device)
