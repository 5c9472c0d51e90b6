"""``torch.version``: the PyTorch whose API clgrad follows."""

from clgrad.version import __version__ as _own

__version__ = f"2.13.0+clgrad.{_own}"
VISION = f"0.28.0+clgrad.{_own}"
cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version = "unknown"
debug = False
