"""Runs the cases on Oclgrind in one form of the device code: ``python -m tests.oclgrind.harness cpu|gpu REPORT [FILE ...]``.

Started by :mod:`tests.oclgrind.checks`, which sets the environment. Writes a line of JSON a case to REPORT: which kernels
it launched, what Oclgrind found meanwhile, and the exception that ended it, if any.

Memory is made so that nothing hides a fault: a block has exactly the size that was asked for, is used once, and the
device never works in the host's memory, so a read of what nobody wrote and a step over the end are both seen.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import clgrad
from clgrad.kernels import (
    concatenate,
    conv,
    conv_depthwise,
    conv_geometry,
    conv_panels,
    conv_weight_panels,
    conv_weights,
    fft,
    gemm,
    optimizer,
    reduce,
    sort,
)
from clgrad.runtime import Block, Bound, Device, Limits, memory, program
from tests.oclgrind import catalogue

FORM = sys.argv[1] if __name__ == "__main__" else "cpu"


def strict_memory(patch: Any = setattr) -> None:
    """Exact blocks that are never used again, and no work in the host's memory."""
    patch(memory, "bin_size", lambda nbytes: max(nbytes, 1))
    patch(memory.Pool, "_collect", lambda self: None)
    patch(Device, "_shares_memory", lambda self: False)
    patch(Device, "fill", _fill)  # Oclgrind does not take clEnqueueFillBuffer for an initialisation


def _fill(device: Device, block: Block, pattern: np.ndarray, nbytes: int) -> None:
    device.upload(block, np.full(nbytes // pattern.itemsize, pattern, pattern.dtype).view(np.uint8))


def force_form(is_cpu: bool) -> None:
    """Runs one form of the device code, whatever the device would take."""
    Limits.items_are_threads = property(lambda self: is_cpu)  # type: ignore[assignment, method-assign]


def small_shares() -> None:
    """Work that is shared among work-items and cut into parts at sizes that Oclgrind can run."""
    gemm._wanted_items = lambda shape: 4
    for module in (conv, conv_depthwise, conv_panels, conv_weight_panels, conv_weights):
        module.wanted_items = lambda device, operations: 4
    few = gemm.Tuning(block_depth=32, block_rows=16, copied_rows=8, split_depth=64, per_item=2, slice_depth=8,
                      gpu_split_depth=64)
    gemm._tuning = lambda limits: few
    gemm.ONE_ROW, gemm.FAR, sort.LONG_ROW, reduce.GRAIN, fft.LONG, fft.GRAIN = 256, 256, 64, 128, 512, 64
    conv_geometry.PER_ITEM, conv_weights.GPU_SHARE, optimizer.CPU_CHUNK, concatenate.CPU_CHUNK = 2, 16, 64, 64


# Oclgrind 21.10 takes element 11 of two operands that are shuffled into one vector for undefined, and crashes where an
# element of the result really is (https://github.com/jrprice/Oclgrind, Uninitialized.cpp, ShuffleVector). These
# expressions read the same memory and have the same value without a shuffle. It cannot follow frexp's second result.
REPLACED = {
    "reduce.cl": {"const PASTE(ACC, to) a = from.lo, b = from.hi;":
                  "const PASTE(ACC, to) a = ((const PASTE(ACC, to) *)&from)[0], b = ((const PASTE(ACC, to) *)&from)[1];"},
    "math.clh": {"frexp(x, &e)": "(e = ilogb(x) + 1, ldexp(x, -e))", "frexp(regular, &e)": "e = ilogb(regular) + 1"},
    "transpose.clh": {
        "static inline void transpose(Octet *v) {":
        "static inline void transpose(Octet *v) { LANE from[64], *to = (LANE *)v; "
        "for (int k = 0; k < 64; k++) from[k] = to[k]; "
        "for (int k = 0; k < 64; k++) to[k] = from[k % 8 * 8 + k / 8]; return;"},
    "conv_planes.clh": {
        "line = (PASTE(REAL, n))(line.even, PASTE(vload, n)(0, p + n - 1).odd);":
        "{ REAL taken[n]; for (int l = 0; l < n; l++) taken[l] = p[2 * l]; line = PASTE(vload, n)(0, taken); }"},
    "conv_winograd_inputs.clh": {
        "return (V)(PASTE(vload, HALF)(0, p + from[0]), PASTE(vload, HALF)(0, p + from[1]));":
        "REAL to[VW]; for (int l = 0; l < VW; l++) to[l] = p[from[l / HALF] + l % HALF]; return VLOAD(to, 0);",
        "return (V)(a.even, b.even);": "REAL lanes[2 * VW], to[VW]; VSTORE(lanes, 0, a); VSTORE(lanes, VW, b); "
        "for (int l = 0; l < VW; l++) to[l] = lanes[2 * l]; return VLOAD(to, 0);",
        "return (V)(a.odd, b.odd);": "REAL lanes[2 * VW], to[VW]; VSTORE(lanes, 0, a); VSTORE(lanes, VW, b); "
        "for (int l = 0; l < VW; l++) to[l] = lanes[2 * l + 1]; return VLOAD(to, 0);"},
    "conv_winograd.cl": {
        "#if WIDEN": "#if 1",
        "first.even = left.lo, first.odd = right.lo, second.even = left.hi, second.odd = right.hi;":
        "REAL lanes[2 * VW], to[2 * VW]; VSTORE(lanes, 0, left); VSTORE(lanes, VW, right); "
        "for (int l = 0; l < 2 * VW; l++) to[l] = lanes[l / 2 + l % 2 * VW]; first = VLOAD(to, 0), second = VLOAD(to, VW);"},
    "pairs.clh": {
        "return (Pair){(V)(low.even, high.even), (V)(low.odd, high.odd)};":
        "PART lanes[2 * VW], re[VW], im[VW]; VSTORE(lanes, 0, low); VSTORE(lanes, VW, high); "
        "for (int l = 0; l < VW; l++) re[l] = lanes[2 * l], im[l] = lanes[2 * l + 1]; "
        "return (Pair){VLOAD(re, 0), VLOAD(im, 0)};",
        "low.even = v.re.lo, low.odd = v.im.lo, high.even = v.re.hi, high.odd = v.im.hi;":
        "PART lanes[2 * VW], re[VW], im[VW]; VSTORE(re, 0, v.re); VSTORE(im, 0, v.im); "
        "for (int l = 0; l < VW; l++) lanes[2 * l] = re[l], lanes[2 * l + 1] = im[l]; "
        "low = VLOAD(lanes, 0), high = VLOAD(lanes, VW);"},
    "conv_depthwise.cl": {
        "V values = step == 1 ? VLOAD_T(p, 0) : (V)(VLOAD_T(p, 0).even, VLOAD_T(p, VW).even);":
        "V values = VLOAD_T(p, 0); if (step != 1) { REAL pairs[2 * VW], evens[VW]; VSTORE(pairs, 0, values); "
        "VSTORE(pairs, VW, VLOAD_T(p, VW)); for (int l = 0; l < VW; l++) evens[l] = pairs[2 * l]; "
        "values = VLOAD(evens, 0); }",
    },
}


def avoid_false_findings() -> None:
    """Reads the sources with the expressions of ``REPLACED`` replaced."""
    text = program.source_text

    def replaced(file: str) -> str:
        source = text.__wrapped__(file)
        for expression, instead in REPLACED.get(file, {}).items():
            if expression not in source:
                raise ValueError(f"{file} has changed: {expression} is no longer there")
            source = source.replace(expression, instead)
        return source
    program.source_text = cache(replaced)


class Watch:
    """Which kernels were launched, and what is new in Oclgrind's log, since it was last asked."""

    def __init__(self, log: Path):
        self.log, self.read, self.launched = log, 0, set[tuple[str, str]]()
        run = Device.run

        def watched(device: Device, bound: Bound, buffers: tuple, varying: tuple) -> None:
            self.launched.add((bound.kernel.file, bound.kernel.name))
            run(device, bound, buffers, varying)
        Device.run = watched  # type: ignore[method-assign]

    def news(self) -> str:
        """What Oclgrind wrote since the last call."""
        text = self.log.read_text(errors="replace")
        fresh, self.read = text[self.read:], len(text)
        return fresh.strip()


def main(report: str, files: list[str]) -> None:
    strict_memory()
    force_form(FORM == "cpu")
    small_shares()
    avoid_false_findings()
    watch = Watch(Path(os.environ["OCLGRIND_LOG"]))
    clgrad.zeros(1).add_(1)  # whatever opening the device writes is no kernel's
    clgrad.synchronize()
    watch.news()
    with open(report, "w", encoding="utf-8") as out:
        for file, case in catalogue.of_form(FORM, files):
            begun = time.process_time()
            watch.launched.clear()
            error = ""
            try:
                clgrad.manual_seed(0)
                case()
                clgrad.synchronize()
            except Exception:
                error = traceback.format_exc()
            line = {"file": file, "case": case.__name__, "kernels": sorted(watch.launched), "findings": watch.news(),
                    "error": error, "seconds": round(time.process_time() - begun, 1)}
            out.write(json.dumps(line) + "\n")
            out.flush()


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3:])
