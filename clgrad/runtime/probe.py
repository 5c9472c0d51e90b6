"""Finding out, in a process of its own, whether a driver that may abort the process works.

PoCL runs the C linker ``ld`` for each kernel and aborts the whole process when that fails. So before PoCL's first use
a child process compiles and runs one kernel, and where that fails, one more with clgrad's own linker; which one worked is
remembered per driver and linker in the cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from clgrad.errors import DeviceError, LinkerMissingError
from clgrad.runtime import survey
from clgrad.runtime.limits import Limits
from clgrad.runtime.linking import LINKER, cache_folder, own_linker

SECONDS = 120.0  # that PoCL gets to run one kernel


def check_pocl(limits: Limits) -> None:
    """LinkerMissingError, instead of an abort later, where PoCL cannot link kernels; DeviceError where it cannot compile."""
    linker = shutil.which("ld")
    stamp = _stamp(limits, linker)
    own = stamp.with_suffix(".own")
    if linker is not None and stamp.exists():
        return
    chosen = own_linker() if own.exists() else {}
    if chosen:
        os.environ.update(chosen)
        return
    problem = survey.try_out(limits.platform, SECONDS)
    if not problem:
        _remember(stamp)
        return
    if linker is not None and "(compiling a kernel)" in problem:
        raise DeviceError(f"PoCL, the OpenCL driver for CPUs, cannot compile kernels for this processor: {problem}. Another "
                          "driver for CPUs is 'pip install intel-opencl-rt', which CLGRAD_DEVICE=intel chooses")
    chosen = own_linker()
    if chosen and not survey.try_out(limits.platform, SECONDS, chosen):
        os.environ.update(chosen)
        _remember(own)
        return
    found = f"the linker at {linker} did not work" if linker else "there is no linker 'ld' on the PATH"
    raise LinkerMissingError(
        f"PoCL, the OpenCL driver for CPUs, cannot link its kernels: {found} ({problem}). Install one: "
        "'apt-get install binutils' (Debian, Ubuntu), 'dnf install binutils' (Fedora), 'apk add binutils' (Alpine), "
        "'conda install binutils' without administrator's rights")


def _remember(stamp: Path) -> None:
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    except OSError:
        pass  # a read-only cache folder costs a second at each start, no more


def _stamp(limits: Limits, linker: str | None) -> Path:
    facts = f"{limits.driver}|{limits.name}|{limits.target}|{linker}|{sys.executable}"
    for file in (linker, LINKER):
        if file is not None:
            status = os.stat(file)
            facts += f"|{status.st_size}|{status.st_mtime_ns}"
    return cache_folder() / f"linker-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.ok"
