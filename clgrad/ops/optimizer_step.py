"""Steps of optimizers: many parameters are changed in place by one launch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.dtypes import dtype
from clgrad.kernels import optimizer
from clgrad.ops import copying, pointwise
from clgrad.ops.complexes import view_as_real
from clgrad.ops.update_rule import UpdateRule
from clgrad.runtime import Device, settle
from clgrad.shapes import is_dense
from clgrad.spec import Spec, contiguous_spec


class _Launch:
    """Tensors, by their positions in a step's flat list, that one kernel changes."""

    def __init__(self, positions: list[int], make: Any):
        self.positions, self._make = positions, make
        self._plans: dict[bool, optimizer.Plan] = {}

    def run(self, tensors: list, written: tuple[bool, ...], numbers: tuple) -> None:
        chosen = tensors if len(self.positions) == len(tensors) else [tensors[n] for n in self.positions]
        offsets = tuple([t.offset for t in chosen])
        moved = any(offsets)
        plan = self._plans.get(moved)
        if plan is None:
            plan = self._plans[moved] = self._make(moved)
        exported = False
        buffers = [t.memory.buffer for t in chosen]
        for place, buffer in enumerate(buffers):
            if buffer is None:
                storage = chosen[place].memory
                buffers[place] = storage.acquire(written[place % len(written)])
                exported = exported or storage.buffer is None
        plan(tuple(buffers), numbers + offsets if moved else numbers)
        if exported:
            settle()


class _Step:
    """All launches for a list of tensors, and which of them need a dense stand-in."""

    def __init__(self, launches: list[_Launch], stand_ins: list[tuple[int, Spec]]):
        self.launches, self.stand_ins = launches, stand_ins


_steps: dict[tuple, _Step] = {}


def step(rule: UpdateRule, tensors: list, numbers: dict[str, float]) -> None:
    """Changes parameters and states in place as an optimizer does.

    Args:
        rule: what is computed.
        tensors: for each parameter this, its gradient and the states of the rule, one after the other. Of complex ones the
            real and the imaginary parts are changed each by themselves.
        numbers: the rule's scalars by name.
    """
    if not tensors:
        return
    width = 2 + len(rule.states)
    key = (rule, *[t.spec for t in tensors])
    known = _steps.get(key)
    if known is None:
        if any(t.spec.dtype.is_complex for t in tensors):
            return step(rule, [view_as_real(t) if t.spec.dtype.is_complex else t for t in tensors], numbers)
        known = _steps[key] = _prepare(rule, [tensors[n:n + width] for n in range(0, len(tensors), width)])
    written = tuple([name in rule.written for name in ("p", "g", *rule.states)])
    if mode.copies is not None:
        for n, t in enumerate(tensors):
            if written[n % width]:
                mode.copies.before_change_of(t)
    originals = [(n, tensors[n]) for n, _ in known.stand_ins]
    for n, spec in known.stand_ins:
        tensors[n] = _stand_in(tensors[n], spec)
    values = tuple([float(numbers[name]) for name in rule.scalars])
    for launch in known.launches:
        launch.run(tensors, written, values)
    for n, original in originals:
        if written[n % width]:
            pointwise.run_into(copying.COPY, (tensors[n],), (), original)
    for place in range(width):
        if written[place]:
            for t in tensors[place::width]:
                t.memory.wrote(not t._untracked)


def state_like(parameter: Any, value: float) -> Any:
    """A state tensor of a parameter's spec (contiguous where that has gaps), filled with a value in every part."""
    own = parameter.spec
    begin = complex(value, value) if own.dtype.is_complex else value
    if own.contiguous or not is_dense(own.shape, own.strides):
        return copying.full(own.shape, begin, own.dtype, own.device)
    made = copying.unwritten(own.shape, own.dtype, own.device, own.strides)
    made.fill_(begin)
    return made


def counter(value: float) -> Any:
    """A 0-d tensor on the host, as which PyTorch's optimizers keep the number of steps."""
    kind = dtypes.get_default_dtype()
    return copying.full((), value, kind if kind is dtypes.float64 else dtypes.float32, copying.device("cpu"))


def _stand_in(t: Any, spec: Spec) -> Any:
    made = copying.unwritten(spec.shape, spec.dtype, spec.device, spec.strides)  # type: ignore[arg-type]
    pointwise.run_into(copying.COPY, (t,), (), made)
    return made


def _prepare(rule: UpdateRule, rows: Sequence[list]) -> _Step:
    stand_ins: list[tuple[int, Spec]] = []
    groups: dict[tuple[Device, dtype], list[int]] = {}
    width = 2 + len(rule.states)
    body = optimizer.Body(rule.c, rule.states, rule.loaded, rule.written, rule.scalars, rule.cost)
    for number, row in enumerate(rows):
        own = row[0].spec
        if not own.dtype.is_floating_point:
            raise RuntimeError(f"optimizer step: parameters must be floating point, got {own.dtype}")
        if own.device.compute.limits.fp64 is False and own.dtype is dtypes.float64:
            raise RuntimeError(f"optimizer step: {own.device.compute.limits.name} has no float64")
        wanted = own
        if not is_dense(own.shape, own.strides):
            wanted = contiguous_spec(own.shape, own.dtype, own.device)
        for place, t in enumerate(row):
            if t.spec.shape != own.shape:
                raise RuntimeError(f"optimizer step: a parameter of shape {list(own.shape)} has a gradient or state of "
                                   f"shape {list(t.spec.shape)}")
            if t.spec is not wanted:
                stand_ins.append((number * width + place, wanted))
        if own.numel:
            groups.setdefault((own.device.compute, own.dtype), []).append(number)
    launches = []
    for (device, kind), members in groups.items():
        most = optimizer.capacity(device, body)
        for start in range(0, len(members), most):
            part = members[start:start + most]
            sizes = [rows[number][0].spec.numel for number in part]

            def make(offsets: bool, device: Any = device, kind: Any = kind, sizes: Any = sizes) -> optimizer.Plan:
                return optimizer.plan(device, body, kind, sizes, offsets=offsets)
            launches.append(_Launch([number * width + place for number in part for place in range(width)], make))
    return _Step(launches, stand_ins)
