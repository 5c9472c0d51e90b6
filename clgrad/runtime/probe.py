"""Finding out, in a process of its own, whether a driver that may abort the process works.

PoCL runs the C linker ``ld`` for each kernel and aborts the whole process when that fails. So before PoCL's first use
a child process compiles and runs one kernel; that it worked is remembered per driver and linker in the cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

import platformdirs

from clgrad.errors import DeviceError, LinkerMissingError
from clgrad.runtime import survey
from clgrad.runtime.limits import Limits

SECONDS = 120.0  # that PoCL gets to run one kernel


def cache_folder() -> Path:
    """Where clgrad keeps what it found out about this machine; ``CLGRAD_CACHE`` overrides it."""
    return Path(os.environ.get("CLGRAD_CACHE") or platformdirs.user_cache_dir("clgrad", appauthor=False))


def check_pocl(limits: Limits) -> None:
    """LinkerMissingError, instead of an abort later, where PoCL cannot link kernels; DeviceError where it cannot compile."""
    linker = shutil.which("ld")
    stamp = _stamp(limits, linker)
    if linker is not None and stamp.exists():
        return
    problem = survey.try_out(limits.platform, SECONDS)
    if not problem:
        try:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
        except OSError:
            pass  # a read-only cache folder costs a second at each start, no more
        return
    if linker is not None and "(compiling a kernel)" in problem:
        raise DeviceError(f"PoCL, the OpenCL driver for CPUs, cannot compile kernels for this processor: {problem}. Another "
                          "driver for CPUs is 'pip install intel-opencl-rt', which CLGRAD_DEVICE=intel chooses")
    found = f"the linker at {linker} did not work" if linker else "there is no linker 'ld' on the PATH"
    raise LinkerMissingError(
        f"PoCL, the OpenCL driver for CPUs, cannot link its kernels: {found} ({problem}). Install one: "
        "'apt-get install binutils' (Debian, Ubuntu), 'dnf install binutils' (Fedora), 'apk add binutils' (Alpine), "
        "'conda install binutils' without administrator's rights")


def _stamp(limits: Limits, linker: str | None) -> Path:
    facts = f"{limits.driver}|{limits.name}|{limits.target}|{linker}|{sys.executable}"
    if linker is not None:
        status = os.stat(linker)
        facts += f"|{status.st_size}|{status.st_mtime_ns}"
    return cache_folder() / f"linker-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.ok"
