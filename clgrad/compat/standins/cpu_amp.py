"""``torch.cpu.amp``: the old names of :mod:`clgrad.amp` for processors."""

from __future__ import annotations

from typing import Any

from clgrad import amp, dtypes


class autocast(amp.autocast):
    """:class:`clgrad.amp.autocast` of processors."""

    def __init__(self, enabled: bool = True, dtype: Any = dtypes.bfloat16, cache_enabled: bool = True):
        super().__init__("cpu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)
