"""Comparing results and making inputs in tests."""

from clgrad.testing.close import assert_allclose, assert_close
from clgrad.testing.inputs import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
