"""What OpenCL is made of on this machine: loaders, drivers' registrations, and what each driver does when it is loaded.

Every driver is loaded in a process of its own with a time limit, so that one that aborts or hangs is only reported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from clgrad.runtime.limits import POCL
from clgrad.runtime.linking import own_linker
from clgrad.runtime.program import source_text

PROBE = Path(__file__).with_name("driver_probe.py")
TRIAL = Path(__file__).with_name("trial.py")
REGISTRY_KEY = r"SOFTWARE\Khronos\OpenCL\Vendors"


@dataclass
class Driver:
    """A registered driver: who registers it, its shared object, and what the probe found."""

    registration: str
    shared_object: str
    devices: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass
class Trial:
    """A device as pyopencl sees it, and what went wrong when it was to run a kernel; ``linked``: by clgrad's linker."""

    device: str
    platform: str
    problem: str = ""
    linked: bool = False


def ask(command: list[str], seconds: float, environment: dict[str, str] | None = None) -> tuple[object, str]:
    """Runs a probe; gives (what it printed as JSON, "") or (None, what happened to it at which step)."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL,
                              env={**os.environ, **(environment or {})})
        output, status = done.stdout, done.returncode
        errors = done.stderr.decode(errors="replace").strip().splitlines()
    except subprocess.TimeoutExpired as expired:
        output, status, errors = expired.stdout or b"", None, []
    except (OSError, ValueError) as error:
        return None, f"no process could be started: {error}"
    lines = output.decode(errors="replace").splitlines()
    at = next((line.removeprefix("step ") for line in reversed(lines) if line.startswith("step ")), "starting")
    if status is None:
        return None, f"it does not answer within {seconds:g} s ({at})"
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return None, f"it ends the whole process with {name} ({at})" + (f": {errors[-1]}" if errors else "")
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError):
        return None, f"the process ended with status {status} ({at})" + (f": {errors[-1]}" if errors else "")
    if isinstance(answer, dict) and "problem" in answer:
        return None, f"{answer['problem']} ({at})"
    return answer, ""


def vendor_folders() -> list[Path]:
    """Where loaders look for registrations (``.icd`` files) on Linux and similar systems."""
    chosen = os.environ.get("OCL_ICD_VENDORS") or os.environ.get("OPENCL_VENDOR_PATH")
    folders = [Path(chosen)] if chosen else [Path("/etc/OpenCL/vendors")]
    if os.environ.get("CONDA_PREFIX"):
        folders.append(Path(os.environ["CONDA_PREFIX"]) / "etc/OpenCL/vendors")
    bundled = importlib.util.find_spec("pyopencl")
    if bundled is not None and bundled.origin:
        folders.append(Path(bundled.origin).parent / ".libs")
    return folders


def registrations() -> list[Driver]:
    """The drivers that loaders would load, not loaded yet."""
    if sys.platform == "win32":
        return _windows_registrations()
    found = []
    for folder in vendor_folders():
        if folder.is_file() and folder.suffix != ".icd":
            found.append(Driver("OCL_ICD_VENDORS", str(folder)))  # a library named directly
            continue
        for file in [folder] if folder.is_file() else sorted(folder.glob("*.icd")):
            found.append(_registration(file))
    if sys.platform == "darwin":
        found.append(Driver("macOS", "/System/Library/Frameworks/OpenCL.framework/OpenCL"))
    return found


def _registration(file: Path) -> Driver:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        return Driver(str(file), "", problem=f"the file cannot be read: {error.strerror}")
    library = lines[0].strip()
    if not library or not library.isprintable():
        return Driver(str(file), "", problem="the file does not name a library, as its first line should")
    beside = file.parent / library
    return Driver(str(file), str(beside) if file.parent.name == ".libs" and beside.exists() else library)


def _windows_registrations() -> list[Driver]:
    found = []
    registry = importlib.import_module("winreg")
    try:
        key = registry.OpenKey(registry.HKEY_LOCAL_MACHINE, REGISTRY_KEY)
        for place in range(registry.QueryInfoKey(key)[1]):
            found.append(Driver(f"HKEY_LOCAL_MACHINE\\{REGISTRY_KEY}", registry.EnumValue(key, place)[0]))
    except OSError:
        pass  # no driver registers itself there; newer ones are found through the graphics adapters
    return found


def probe(driver: Driver, seconds: float) -> Driver:
    """Loads a driver in a process of its own and fills in its devices, or what went wrong."""
    if driver.problem:
        return driver
    if driver.registration == "macOS":
        return driver  # a framework, not an installable driver: pyopencl's own trial tells
    answer, driver.problem = ask([sys.executable, "-I", str(PROBE), driver.shared_object], seconds)
    if isinstance(answer, list):
        driver.devices = [f"{device['name']} ({platform['name']}, driver {device['driver']})"
                          for platform in answer for device in platform["devices"]]
        if not driver.devices:
            names = ", ".join(platform["name"] for platform in answer)
            driver.problem = f"it loads{f' ({names})' if names else ''} and finds no device that it serves"
    return driver


def try_out(which: str, seconds: float, environment: dict[str, str] | None = None) -> str:
    """Lets a device, or a platform's first one, run a kernel (see ``trial.py``); what went wrong, else ``""``."""
    command = [sys.executable, str(TRIAL), which, source_text("trial.cl")]
    verdict, problem = ask(command, seconds, {"POCL_KERNEL_CACHE": "0", **(environment or {})})
    return problem or ("" if verdict == "ok" else "a kernel gives wrong numbers")


def trials(seconds: float) -> tuple[list[Trial], str]:
    """Every device that pyopencl sees, tried out; and why pyopencl sees none, where that is so."""
    answer, problem = ask([sys.executable, str(TRIAL), "list"], seconds)
    if not isinstance(answer, list):
        return [], problem
    found = [Trial(name, platform, try_out(str(number), seconds)) for number, (name, platform) in enumerate(answer)]
    for number, trial in enumerate(found):
        chosen = own_linker() if trial.problem and trial.platform == POCL else {}
        if chosen:
            trial.problem = try_out(str(number), seconds, chosen)
            trial.linked = not trial.problem
    return found, "" if found else "it sees no platform with a device"


def version(package: str) -> str | None:
    """The version of an installed package; None where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
