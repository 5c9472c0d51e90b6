"""``python -m clgrad``: which OpenCL devices there are, which is the default and why, and whether each computes right.

``python -m clgrad doctor`` says what is installed, what of it works, and what to do about the rest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import clgrad as _clgrad
from clgrad import doctor
from clgrad.errors import DeviceError
from clgrad.runtime import Limits, default_device, device, devices, gpus
from clgrad.tune import tune

clgrad: Any = _clgrad  # its functions are put together at run time
STEPS, TOLERANCE = 20, 1e-4
LONG = 100_000  # steps of a loop: a driver of Mesa ends loops earlier


def describe(number: int, limits: Limits) -> str:
    """A device's limits in a few lines."""
    kind = "CPU" if limits.is_cpu else "GPU"
    names = f"cl:{number}" + ("" if limits.is_cpu else f", cuda:{gpus().index(number)}")
    mebibyte = 1 << 20
    return (f"{names}: {limits.name} ({kind})\n"
            f"  platform     {limits.platform}, {limits.version}, driver {limits.driver}\n"
            f"  compute      {limits.compute_units} units, {limits.vector_width} floats a vector, work-groups up to "
            f"{limits.max_work_group}, float64 {'yes' if limits.fp64 else 'no'}\n"
            f"  memory       {limits.memory // mebibyte:,} MiB, at most {limits.max_alloc // mebibyte:,} MiB at once, "
            f"{limits.local_memory // 1024:,} KiB local")


def default_reason() -> str:
    """The default device, and what made it so."""
    chosen = default_device()
    if os.environ.get("CLGRAD_DEVICE"):
        why = f"CLGRAD_DEVICE={os.environ['CLGRAD_DEVICE']}"
    elif chosen.compute.limits.is_cpu:
        why = "tensors live on the CPU unless another device is named, as in PyTorch"
    else:
        why = "there is no CPU device, so tensors of the CPU are computed on the first device"
    return f"default: {chosen}, computed on cl:{chosen.compute.index} {chosen.compute.limits.name} ({why})"


def self_test(place: device) -> str:
    """Trains a small network for some steps and checks a gradient; returns what was seen, DeviceError where wrong.

    The gradient of a two-layer network is compared with the same computation in NumPy; a long row is added up.
    """
    if clgrad.ones(LONG, device=place).cumsum(0)[-1].item() != LONG:
        raise DeviceError(f"a loop of {LONG:,} steps ends early: results of large operations are incomplete")
    rng = np.random.default_rng(0)
    x, w, v = (rng.normal(size=s).astype(np.float32) for s in ((16, 8), (12, 8), (4, 12)))
    targets = rng.integers(0, 4, 16)
    first = clgrad.tensor(w, device=place, requires_grad=True)
    second = clgrad.tensor(v, device=place, requires_grad=True)
    inputs, labels = clgrad.tensor(x, device=place), clgrad.tensor(targets, device=place)
    losses = []
    worst = 0.0
    for step in range(STEPS):
        hidden = clgrad.linear(inputs, first).tanh()
        loss = clgrad.cross_entropy(clgrad.linear(hidden, second), labels)
        loss.backward()
        if step == 0:
            worst = float(np.abs(first.grad.cpu().numpy() - _gradient(x, w, v, targets)).max())
        losses.append(loss.item())
        with clgrad.no_grad():
            for weight in (first, second):
                weight -= 0.5 * weight.grad
                weight.grad = None
    if not worst < TOLERANCE:
        raise DeviceError(f"a gradient is wrong by {worst:g}")
    if not losses[-1] < losses[0]:
        raise DeviceError(f"training does not reduce the loss ({losses[0]:.4f} to {losses[-1]:.4f})")
    return f"loss {losses[0]:.4f} to {losses[-1]:.4f} in {STEPS} steps, gradient right to {worst:.1e}"


def _gradient(x: np.ndarray, w: np.ndarray, v: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """d loss / d w of the self-test's network, by hand, in float64."""
    x, w, v = x.astype(np.float64), w.astype(np.float64), v.astype(np.float64)
    hidden = np.tanh(x @ w.T)
    scores = hidden @ v.T
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(len(targets)), targets] -= 1
    return ((shares / len(targets)) @ v * (1 - hidden**2)).T @ x


def tune_devices(places: Sequence[device]) -> int:
    """Tunes each device; returns how many could not be tuned."""
    failed = 0
    for place in places:
        try:
            print(f"{place}: {place.compute.limits.name}")
            tune(place.compute)
        except (DeviceError, OSError) as error:
            failed += 1
            print(f"  FAILED: {error}")
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; the exit status is the number of devices that failed (1 where there is none)."""
    parser = argparse.ArgumentParser(prog="python -m clgrad", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["doctor", "tune"],
                        help="doctor: examine the installation and its drivers; tune: measure which numbers suit the "
                             "kernels best, and keep them for later runs")
    parser.add_argument("--device", help="tune: only this device (cpu, cuda:N, cl:N)")
    parser.add_argument("--no-test", action="store_true", help="list the devices without testing them")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that doctor gives a driver to answer (30)")
    options = parser.parse_args(arguments)
    if options.command == "doctor":
        return doctor.main(options.timeout)
    print(f"clgrad {clgrad.__version__}")
    found = devices()
    if not found:
        print("no OpenCL device found: 'python -m clgrad doctor' looks for the reason. On Linux x86-64 'pip install "
              "pocl-binary-distribution' makes the CPU one; for a GPU install its vendor's OpenCL driver.")
        return 1
    if options.command == "tune":
        return tune_devices([clgrad.device("cl", number) for number in range(len(found))] if options.device is None
                            else [clgrad.device(options.device)])
    failed = 0
    for number, limits in enumerate(found):
        print(describe(number, limits))
        if options.no_test:
            continue
        try:
            print(f"  self-test    passed: {self_test(clgrad.device('cl', number))}")
        except Exception as error:  # whatever a broken driver does is what this report is for
            failed += 1
            print(f"  self-test    FAILED: {error}")
    try:
        print(default_reason())
    except DeviceError as error:
        failed += 1
        print(f"default: {error}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
