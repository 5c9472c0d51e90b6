"""Optimizer steps for many parameters in one launch: the launcher of ``optimizer.cl``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import Bound, Device

GROUP = 256  # work-items a group on GPUs
CHUNK = 4096
MOST = 16    # parameters a launch: more buy little, and each number of parameters is a kernel to compile


class Plan:
    """A step of parameters of given sizes: ``plan(parameters, gradients, states, scalars)``.

    ``parameters`` and ``gradients`` are lists of buffers, ``states`` a list of tuples of buffers: SGD's momentum (no
    buffer without it), Adam's mean, mean square and, with amsgrad, largest mean square. ``scalars``:

    * SGD: (lr, weight_decay, sign, momentum, 1 - dampening, first); ``first`` is 1 where the momentum buffers are new
    * Adam: (lr, weight_decay, sign, beta1, beta2, eps, lr / (1 - beta1**t), 1 / sqrt(1 - beta2**t))

    ``sign`` is -1 to maximize, else 1. Parameters without elements are left out by the caller.
    """

    __slots__ = ("device", "bounds", "cost")

    def __init__(self, device: Device, bounds: list[tuple[Bound, int, int]], cost: tuple[int, int]):
        self.device, self.bounds, self.cost = device, bounds, cost

    def __call__(self, parameters: Sequence[Any], gradients: Sequence[Any], states: Sequence[tuple],
                 scalars: tuple) -> None:
        for bound, first, last in self.bounds:
            buffers: list[Any] = []
            for k in range(first, last):
                buffers += (parameters[k], gradients[k], *states[k])
            # A last, shorter group runs the kernel of a full one: its places are filled and take no chunks.
            while len(buffers) < bound.buffers:
                buffers += buffers[:bound.buffers - len(buffers)]
            self.device.run(bound, tuple(buffers), scalars)


def sgd_plan(device: Device, kind: dtype, sizes: Sequence[int], parameter_offsets: Sequence[int],
             gradient_offsets: Sequence[int], *, momentum: bool, nesterov: bool) -> Plan:
    """SGD for contiguous parameters of ``sizes`` elements; momentum buffers have offset 0."""
    macros = {"ADAM": 0, "MOMENTUM": int(momentum), "NESTEROV": int(nesterov)}
    return _plan(device, kind, sizes, parameter_offsets, gradient_offsets, "a" if momentum else "", macros, 5, "i")


def adam_plan(device: Device, kind: dtype, sizes: Sequence[int], parameter_offsets: Sequence[int],
              gradient_offsets: Sequence[int], *, amsgrad: bool, decoupled: bool) -> Plan:
    """Adam, or with ``decoupled`` AdamW, for contiguous parameters; state buffers have offset 0."""
    macros = {"ADAM": 1, "AMSGRAD": int(amsgrad), "DECOUPLED": int(decoupled)}
    return _plan(device, kind, sizes, parameter_offsets, gradient_offsets, "abc" if amsgrad else "ab", macros, 8, "")


def _plan(device: Device, kind: dtype, sizes: Sequence[int], parameter_offsets: Sequence[int],
          gradient_offsets: Sequence[int], states: str, macros: dict[str, object], reals: int, flags: str) -> Plan:
    wide = any(n + max(p, g) >= 1 << 30 for n, p, g in zip(sizes, parameter_offsets, gradient_offsets, strict=True))
    index, real, names = ("l" if wide else "i"), kind.compute.cl, "pg" + states
    macros = {"IN": kind.code, "REAL": real, "CHUNK": CHUNK, "VW": 8, "INDEX": "long" if wide else "int", **macros}
    each = len(names) * 8 + 4 * (8 if wide else 4)
    most = min(MOST, max(1, (device.limits.max_parameter_bytes - 100) // each), max(len(sizes), 1))
    kernel = device.kernel("optimizer.cl", "optimizer_step", macros,
                           "P" * len(names) * most + real[0] * reals + flags + index * 4 * most,
                           prelude=_prelude(names, most))
    bounds = []
    for first in range(0, len(sizes), most):
        last = min(first + most, len(sizes))
        table: list[int] = []
        end = 0
        for k in range(first, last):
            end += -(-sizes[k] // CHUNK)
            table += (end, sizes[k], parameter_offsets[k], gradient_offsets[k])
        table += [end, 0, 0, 0] * (most - (last - first))
        work, local = ((end,), (1,)) if device.is_cpu else ((end * GROUP,), (GROUP,))
        if end:
            bound = Bound(kernel, work, local, len(names) * most, real[0] * reals + flags, tuple(table))
            bounds.append((bound, first, last))
    numel = sum(sizes)
    return Plan(device, bounds, (numel * (12 if macros["ADAM"] else 6), numel * kind.itemsize * (2 * len(names) - 1)))


def _prelude(names: str, count: int) -> str:
    """The three macros that optimizer.cl documents. Choosing pointers keeps the update's code single."""
    buffers = ", ".join(f"global {'const ' if name == 'g' else ''}T *{name}{k}" for k in range(count) for name in names)
    table = ", ".join(f"INDEX end{k}, INDEX n{k}, INDEX po{k}, INDEX go{k}" for k in range(count))
    fields = [*names, "n", "po", "go"]
    choices = []
    for k in range(count):
        picks = " ".join(f"{field} = {field}{k};" for field in fields) + f" start = {f'end{k - 1}' if k else '0'};"
        choices.append(picks if k == 0 else f"if (chunk >= end{k - 1} && n{k} > 0) {{ {picks} }}")
    return f"#define BUFFERS {buffers}\n#define TABLE {table}\n#define SELECT {' '.join(choices)}"
