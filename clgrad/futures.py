"""``torch.futures``: values that come later, for programs that pass them on.

>>> from clgrad.futures import Future
>>> future = Future()
>>> doubled = future.then(lambda f: 2 * f.wait())
>>> future.set_result(3)
>>> doubled.wait()
6
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value or an error that somebody sets, and for which others wait.

    Args:
        devices: accepted; values are where they were made.
    """

    def __init__(self, *, devices: Any = None):
        self._inner: concurrent.futures.Future = concurrent.futures.Future()

    def done(self) -> bool:
        """Whether the value or the error is there."""
        return self._inner.done()

    def wait(self) -> Any:
        """The value, once it is there; an error is raised."""
        return self._inner.result()

    def value(self) -> Any:
        """The value that is there.

        Raises:
            RuntimeError: it is not.
        """
        if not self.done():
            raise RuntimeError("Future is not completed yet: call wait() first")
        return self.wait()

    def set_result(self, result: Any) -> None:
        """Sets the value; whoever waits goes on.

        Raises:
            RuntimeError: it has been set.
        """
        self._set(self._inner.set_result, result)

    def set_exception(self, result: BaseException) -> None:
        """Sets an error, which ``wait`` raises."""
        if not isinstance(result, BaseException):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._set(self._inner.set_exception, result)

    def _set(self, setter: Callable, value: Any) -> None:
        try:
            setter(value)
        except concurrent.futures.InvalidStateError:
            raise RuntimeError("Future can only be set once: it is completed") from None

    def then(self, callback: Callable[[Future], Any]) -> Future:
        """The future of ``callback(self)``, which runs when this one is done."""
        following: Future = Future()

        def go_on(_: Any) -> None:
            try:
                following.set_result(callback(self))
            except Exception as error:
                following.set_exception(error)
        self._inner.add_done_callback(go_on)
        return following

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Calls ``callback(self)`` when this one is done."""
        self._inner.add_done_callback(lambda _: callback(self))


def collect_all(futures: list[Future]) -> Future:
    """A future whose value is the list of futures, when all of them are done."""
    together: Future = Future()
    left = [len(futures)]

    def count(_: Future) -> None:
        left[0] -= 1
        if not left[0]:
            together.set_result(futures)
    for future in futures:
        future.add_done_callback(count)
    if not futures:
        together.set_result(futures)
    return together


def wait_all(futures: list[Future]) -> list:
    """The values of all futures, once they are there; the first error is raised."""
    return [future.wait() for future in collect_all(futures).wait()]
