"""``SummaryWriter``: curves, pictures and histograms for TensorBoard, written by tensorboardX."""

from __future__ import annotations

import warnings
from typing import Any

from clgrad.optional import library
from clgrad.tensor import Tensor


def _plain(value: Any) -> Any:
    """Tensors, in whatever nested in, as arrays."""
    if isinstance(value, Tensor):
        return value.detach().numpy(force=True)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(item) for item in value)
    return value


class SummaryWriter:
    """Writes events into a folder for TensorBoard; the methods are tensorboardX's and take tensors.

    Args:
        log_dir: the folder; default ``runs/`` with the time and the machine's name, and ``comment``.
        purge_step: events from this step on of an earlier run are to be dropped.
        max_queue, flush_secs: after how many events, or seconds, they reach the disk.
        filename_suffix: added to the file's name.

    Raises:
        ImportError: tensorboardX is not installed.
    """

    def __init__(self, log_dir: Any = None, comment: str = "", purge_step: int | None = None, max_queue: int = 10,
                 flush_secs: int = 120, filename_suffix: str = ""):
        made = library("tensorboardX", "tensorboardX", "writing for TensorBoard")
        self._writer = made.SummaryWriter(None if log_dir is None else str(log_dir), comment, purge_step, max_queue,
                                          flush_secs, filename_suffix)

    @property
    def log_dir(self) -> str:
        """The folder."""
        return self._writer.logdir

    def get_logdir(self) -> str:
        """The folder."""
        return self._writer.logdir

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.__dict__["_writer"], name) if "_writer" in self.__dict__ else None
        if method is None:
            raise AttributeError(name)
        if not name.startswith("add_"):
            return method
        return lambda *args, **kwargs: method(*_plain(args), **_plain(kwargs))

    def add_graph(self, model: Any, input_to_model: Any = None, verbose: bool = False,
                  use_strict_trace: bool = True) -> None:
        """Warns: graphs of modules are not written."""
        warnings.warn("SummaryWriter.add_graph(): clgrad does not write graphs of modules: it is left out", stacklevel=2)

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._writer.close()
