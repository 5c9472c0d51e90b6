"""``torch.jit.annotations``: the names of ``typing`` that programs import from it."""

from typing import Any, Dict, List, Optional, Tuple, Union  # noqa: UP035

from clgrad.jit import Future

__all__ = ["Any", "Dict", "Future", "List", "Optional", "Tuple", "Union"]
