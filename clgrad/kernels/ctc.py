"""Launcher of ``ctc.cl``: the loss of connectionist temporal classification and its gradient."""

from __future__ import annotations

from clgrad.dtypes import dtype
from clgrad.kernels.launch import CheckedPlan
from clgrad.runtime import Bound, Device

MESSAGE = "ctc_loss: a target is out of bounds: labels must be in [0, classes)"


def plan(device: Device, kind: dtype, times: int, samples: int, classes: int, places: int, blank: int,
         zero_infinity: bool | None = None) -> CheckedPlan:
    """Plans the loss: (lp, targets, lengths, alpha, loss); with ``zero_infinity`` the gradient:
    (g, lp, targets, lengths, alpha, loss, beta, grad).
    """
    wide = max(times * samples * classes, samples * times * places) >= 1 << 31
    letter = "l" if wide else "i"
    macros = {"CODE": kind.code, "REAL": kind.compute.cl, "INDEX": "long" if wide else "int"}
    name, count = ("ctc", 5) if zero_infinity is None else ("ctc_backward", 8)
    more = () if zero_infinity is None else (int(zero_infinity),)
    kernel = device.kernel("ctc.cl", name, macros, "P" * (count + 1) + letter * (count + 4) + "i" * (1 + len(more)))
    local = 1 if device.is_cpu else device.limits.group(32)
    cost = samples * times * places * 64, times * samples * classes * kind.itemsize
    bound = Bound(kernel, (-(-samples // local) * local,), (local,), count + 1, letter * count,
                  (times, samples, classes, places, blank, *more), cost)
    return CheckedPlan(device, bound, cost, MESSAGE)
