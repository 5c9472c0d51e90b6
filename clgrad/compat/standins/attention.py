"""Helpers of ``torch.nn.functional`` that attention layers of programs' own are written with."""

from __future__ import annotations

from typing import Any

from clgrad.nn import functional as F
from clgrad.nn.multi_head import _project


def _in_projection_packed(q: Any, k: Any, v: Any, w: Any, b: Any = None) -> list[Any]:
    """Queries, keys and values from weights stacked in that order."""
    return list(_project(q, k, v, w, (), b))


def _in_projection(q: Any, k: Any, v: Any, w_q: Any, w_k: Any, w_v: Any, b_q: Any = None, b_k: Any = None,
                   b_v: Any = None) -> tuple[Any, Any, Any]:
    """Queries, keys and values from weights of their own."""
    return F.linear(q, w_q, b_q), F.linear(k, w_k, b_k), F.linear(v, w_v, b_v)
