"""Finding out, in a process of its own, whether a driver that may abort the process works.

PoCL runs the C linker ``ld`` for each kernel and aborts the whole process when that fails. So before PoCL's first use
a child process compiles and runs one kernel; that it worked is remembered per driver and linker in the cache folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

from clgrad.errors import LinkerMissingError
from clgrad.runtime.limits import Limits
from clgrad.runtime.program import source_text

# Run by the child. It must not import clgrad: that would probe again.
_TRIAL = """
import sys, numpy, pyopencl as cl
platform = next(p for p in cl.get_platforms() if p.name == "Portable Computing Language")
context = cl.Context(platform.get_devices()[:1])
queue = cl.CommandQueue(context)
source = sys.argv[1]
kernel = cl.Kernel(cl.Program(context, source).build(cache_dir=False), "trial")
host = numpy.zeros(8, numpy.int32)
buffer = cl.Buffer(context, cl.mem_flags.READ_WRITE, host.nbytes)
kernel.set_args(buffer)
cl.enqueue_nd_range_kernel(queue, kernel, (8,), (8,))
cl.enqueue_copy(queue, host, buffer)
sys.exit(0 if (host == 42).all() else 3)
"""


def cache_folder() -> Path:
    """Where clgrad keeps what it found out about this machine; ``CLGRAD_CACHE`` overrides it."""
    return Path(os.environ.get("CLGRAD_CACHE") or platformdirs.user_cache_dir("clgrad", appauthor=False))


def check_linker(limits: Limits) -> None:
    """LinkerMissingError, instead of an abort later, where PoCL cannot link kernels."""
    linker = shutil.which("ld")
    stamp = _stamp(limits, linker)
    if linker is not None and stamp.exists():
        return
    trial = subprocess.run([sys.executable, "-c", _TRIAL, source_text("trial.cl")],
                           capture_output=True, text=True, check=False,
                           env={**os.environ, "POCL_KERNEL_CACHE": "0"})
    if trial.returncode == 0:
        try:
            stamp.parent.mkdir(parents=True, exist_ok=True)
            stamp.touch()
        except OSError:
            pass  # a read-only cache folder costs a second at each start, no more
        return
    found = f"the linker at {linker} did not work" if linker else "there is no linker 'ld' on the PATH"
    last = (trial.stderr.strip().splitlines() or [f"exit status {trial.returncode}"])[-1]
    raise LinkerMissingError(
        f"PoCL, the OpenCL driver for CPUs, cannot link its kernels: {found} ({last}). Install one: "
        "'apt-get install binutils' (Debian, Ubuntu), 'dnf install binutils' (Fedora), 'apk add binutils' (Alpine), "
        "'conda install binutils' without administrator's rights")


def _stamp(limits: Limits, linker: str | None) -> Path:
    facts = f"{limits.driver}|{limits.name}|{linker}|{sys.executable}"
    if linker is not None:
        status = os.stat(linker)
        facts += f"|{status.st_size}|{status.st_mtime_ns}"
    return cache_folder() / f"linker-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.ok"
