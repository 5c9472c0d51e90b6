"""``Join``: processes whose inputs are of unequal number. One that is done does what the others wait for until all are done.

The method is PyTorch's: before each step those that still work say so in a sum, which the others take part in; who is done
calls hooks that repeat the collective operations of the others' step.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from clgrad.creation import ones, zeros
from clgrad.distributed.collectives import all_reduce
from clgrad.distributed.work import Work

_FAR_AHEAD = 1000


class JoinHook:
    """What a process does that is done with its inputs."""

    def main_hook(self) -> None:
        """Repeats the collective operations of one step of the others."""

    def post_hook(self, is_last_joiner: bool) -> None:
        """Called once all are done; ``is_last_joiner``: whether this process was among the last."""


class Joinable(ABC):
    """What takes part in :class:`Join`: it communicates in each step."""

    _join_settings: tuple[bool, bool] | None = None  # whether to tell of each step, and to raise

    def __init__(self) -> None:
        super().__init__()
        self._join_settings = None

    @abstractmethod
    def join_hook(self, **kwargs: Any) -> JoinHook:
        """The hook of a process that is done."""

    @property
    @abstractmethod
    def join_device(self) -> Any:
        """Where the numbers are that are added."""

    @property
    @abstractmethod
    def join_process_group(self) -> Any:
        """The group whose members take part."""


class Join:
    """A context in which processes work on inputs of unequal number.

    Args:
        joinables: what communicates in each step, with the same group.
        enable: False: the inputs are known to be of equal number.
        throw_on_early_termination: an error in all processes as soon as one is done.

    Raises:
        ValueError: the joinables have different groups or devices, or there are none.
    """

    def __init__(self, joinables: Sequence[Joinable], enable: bool = True, throw_on_early_termination: bool = False,
                 **kwargs: Any):
        if not joinables:
            raise ValueError("The join context manager requires at least one joinable")
        self._joinables, self._enable, self._throw = list(joinables), enable, throw_on_early_termination
        self._hooks = [joinable.join_hook(**kwargs) for joinable in self._joinables]
        groups = {id(joinable.join_process_group) for joinable in self._joinables}
        if len(groups) > 1 or len({str(joinable.join_device) for joinable in self._joinables}) > 1:
            raise ValueError("Using join context manager with multiple process groups or devices is not supported")
        self._group, self._device = self._joinables[0].join_process_group, self._joinables[0].join_device

    def __enter__(self) -> None:
        for number, joinable in enumerate(self._joinables):
            # One of them is enough to tell the others of a step.
            joinable._join_settings = (self._enable and number == 0, self._throw)

    def _working(self) -> int:
        """How many processes still work; this one does not."""
        count = zeros(1, device=self._device)
        all_reduce(count, group=self._group)
        return int(count)

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        for joinable in self._joinables:
            joinable._join_settings = None
        if not self._enable or kind is not None:
            return
        last, steps = True, 0
        while self._working():
            if self._throw:
                all_reduce(ones(1, device=self._device), group=self._group)
                raise RuntimeError(f"Rank {self._group.rank()} exhausted all inputs.")
            last, steps = False, steps + 1
            if steps == _FAR_AHEAD:
                warnings.warn(f"Detected uneven input skew of greater than {_FAR_AHEAD}. This means that rank "
                              f"{self._group.rank()} has at least {_FAR_AHEAD} fewer inputs than other currently-active "
                              "ranks. This level of skew could lead to performance degradation during training.")
            for hook in self._hooks:
                hook.main_hook()
        if self._throw:
            all_reduce(zeros(1, device=self._device), group=self._group)
        for hook in self._hooks:
            hook.post_hook(last)

    @staticmethod
    def notify_join_context(joinable: Joinable) -> Work | None:
        """Tells those that are done of a step; to be called before its collective operations.

        Raises:
            RuntimeError: a process is done, and the context was told to end then.
        """
        settings = joinable._join_settings
        if settings is None or not settings[0]:
            return None
        group, device = joinable.join_process_group, joinable.join_device
        work = all_reduce(ones(1, device=device), group=group, async_op=True)
        if settings[1]:
            ended = zeros(1, device=device)
            all_reduce(ended, group=group)
            if int(ended):
                raise RuntimeError("Detected at least one rank that exhausted inputs. Throwing across all ranks.")
        return work
