"""Where Oclgrind is, and how a program is run on it with every check that it has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "liboclgrind-rt-icd.so"
SMALL_GROUP = "64"  # GPU forms run with groups of this size: a simulated work-item takes microseconds, not nanoseconds


def driver() -> Path | None:
    """Oclgrind as a driver for OpenCL loaders; None where it is not installed."""
    program = shutil.which("oclgrind")
    roots = [Path("/usr/lib"), Path("/usr/local/lib"), *([Path(program).resolve().parents[1] / "lib"] if program else [])]
    for root in roots:
        found = next((path for path in (root / "oclgrind" / NAME, root / NAME, *root.glob(f"*/oclgrind/{NAME}"))
                      if path.exists()), None)
        if found is not None:
            return found
    return None


def run(arguments: list[str], folder: Path, seconds: float) -> tuple[subprocess.CompletedProcess, str]:
    """Runs ``python arguments...`` on Oclgrind; gives how it ended and what Oclgrind logged.

    Unoptimised code, because the check for uninitialised values of release 21.10 does not know an instruction
    (``freeze``) that optimisation inserts.
    """
    vendors, log = folder / "vendors", folder / "log.txt"
    vendors.mkdir(exist_ok=True)
    (vendors / "oclgrind.icd").write_text(str(driver()))
    log.write_text("")
    checks = {"OCLGRIND_DATA_RACES": "1", "OCLGRIND_UNINITIALIZED": "1", "OCLGRIND_CHECK_API": "1",
              "OCLGRIND_BUILD_OPTIONS": "-O0", "OCLGRIND_COMPUTE_UNITS": "4", "OCLGRIND_MAX_WGSIZE": SMALL_GROUP,
              "OCLGRIND_NUM_THREADS": "1", "OCLGRIND_MAX_ERRORS": "100000", "OCLGRIND_LOG": str(log)}
    environment = {**os.environ, **checks, "OCL_ICD_VENDORS": str(vendors), "CLGRAD_DEVICE": "oclgrind",
                   "CLGRAD_DISCRETE": "0"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=seconds, check=False,
                          cwd=ROOT, env=environment)
    return done, log.read_text(errors="replace")


def api_errors(text: str) -> list[str]:
    """The functions that were called wrongly, as Oclgrind says on the standard error stream.

    Asking an OpenCL 1.2 device what only newer ones know is how pyopencl finds out, and no error.
    """
    lines = [line.strip() for line in text.splitlines()]
    calls = [" ".join(lines[place + 1:place + 4]) for place, line in enumerate(lines)
             if line == "Oclgrind - OpenCL runtime error detected"]
    return [call for call in calls if not call.startswith("Function: clGetDeviceInfo Error:    CL_INVALID_VALUE")]
