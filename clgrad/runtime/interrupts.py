"""Keeps Ctrl-C from what a driver starts to compile: PoCL aborts the whole process where its ``ld`` is interrupted.

Terminals send SIGINT to all processes of a group. Programs and threads inherit what the thread that starts them holds back. A
signal that was held back arrives when it is let through.
"""

from __future__ import annotations

import signal

__all__ = ["hold", "release"]


def hold() -> set[signal.Signals] | None:
    """Holds SIGINT back in this thread and in what it starts; what :func:`release` needs."""
    if not hasattr(signal, "pthread_sigmask"):
        return None  # Windows has no masks, and no driver that starts programs
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # type: ignore[return-value]


def release(held_before: set[signal.Signals] | None) -> None:
    """Lets through what was not held back before; KeyboardInterrupt where SIGINT came meanwhile."""
    if held_before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, held_before)
