"""``torch._inductor``: its settings, which programs change whether they compile or not."""

from clgrad.compat.standins.inductor import config

__all__ = ["config"]
