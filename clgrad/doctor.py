"""``python -m clgrad doctor``: what OpenCL is made of on this machine, what of it works, and what to do about the rest."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from clgrad.runtime import survey
from clgrad.runtime.limits import POCL
from clgrad.runtime.linking import LINKER, own_linker

PACKAGES = ("pyopencl", "pocl-binary-distribution", "numpy", "platformdirs", "pytools", "intel-opencl-rt")
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}

# What installs a driver for: a CPU, each vendor's GPU, and what installs the linker; by the distribution's family.
_DEBIAN = {"cpu": "apt-get install pocl-opencl-icd", "Intel": "apt-get install intel-opencl-icd",
           "AMD": "apt-get install mesa-opencl-icd (with RUSTICL_ENABLE=radeonsi), or AMD's ROCm packages (rocm-opencl)",
           "NVIDIA": "apt-get install nvidia-opencl-icd (Debian), libnvidia-compute-<version> (Ubuntu)",
           "linker": "apt-get install binutils"}
_FEDORA = {"cpu": "dnf install pocl", "Intel": "dnf install intel-compute-runtime",
           "AMD": "dnf install mesa-libOpenCL (with RUSTICL_ENABLE=radeonsi) or rocm-opencl",
           "NVIDIA": "NVIDIA's driver with its package xorg-x11-drv-nvidia-cuda (RPM Fusion)",
           "linker": "dnf install binutils"}
_ARCH = {"cpu": "pacman -S pocl", "Intel": "pacman -S intel-compute-runtime",
         "AMD": "pacman -S rocm-opencl-runtime, or opencl-mesa with RUSTICL_ENABLE=radeonsi",
         "NVIDIA": "pacman -S opencl-nvidia", "linker": "pacman -S binutils"}
_SUSE = {"cpu": "zypper install pocl", "Intel": "zypper install intel-opencl",
         "AMD": "zypper install Mesa-libRusticlOpenCL (with RUSTICL_ENABLE=radeonsi)",
         "NVIDIA": "NVIDIA's driver with its package nvidia-compute-G06", "linker": "zypper install binutils"}
_ALPINE = {"cpu": "apk add pocl", "Intel": "apk add mesa-rusticl (with RUSTICL_ENABLE=iris)",
           "AMD": "apk add mesa-rusticl (with RUSTICL_ENABLE=radeonsi)",
           "NVIDIA": "apk add mesa-rusticl (with RUSTICL_ENABLE=nouveau)", "linker": "apk add binutils"}
_OTHER = {"cpu": "your distribution's package of PoCL, or 'conda install pocl'",
          "Intel": "your distribution's package of Intel's compute runtime", "NVIDIA": "NVIDIA's driver, which brings OpenCL",
          "AMD": "your distribution's package of ROCm's OpenCL or of Mesa's rusticl", "linker": "conda install binutils"}
_FAMILIES = {"debian": _DEBIAN, "ubuntu": _DEBIAN, "fedora": _FEDORA, "rhel": _FEDORA, "centos": _FEDORA, "arch": _ARCH,
             "suse": _SUSE, "opensuse": _SUSE, "alpine": _ALPINE}
_WINDOWS = {"cpu": "pip install intel-opencl-rt, or Intel's 'CPU Runtime for OpenCL Applications'",
            "gpu": "the GPU vendor's own graphics driver (NVIDIA, AMD, Intel): the one that Windows Update installs may lack "
                   "OpenCL"}
_MACOS = {"cpu": "conda install pocl, or pip install pocl: Apple's own OpenCL has GPUs only on Apple processors",
          "gpu": "nothing: OpenCL is a part of macOS"}

_advice: list[str] = []
_limit = {"seconds": 30.0}  # that a driver gets to answer


def advise(text: str) -> None:
    """Adds a line to what there is to do, once."""
    if text not in _advice:
        _advice.append(text)


def remedies() -> dict[str, str]:
    """What installs drivers and a linker on this Linux distribution."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return _OTHER
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    families = [word for key in ("ID", "ID_LIKE") for word in facts.get(key, "").strip('"\'').split()]
    return next((_FAMILIES[word.split("-")[0]] for word in families if word.split("-")[0] in _FAMILIES), _OTHER)


def remedy(what: str) -> str:
    """What to install for ``cpu``, for a vendor's GPU (``NVIDIA``, ``AMD``, ``Intel``), or as a ``linker``."""
    if sys.platform == "win32":
        return _WINDOWS.get(what, _WINDOWS["gpu"])
    if sys.platform == "darwin":
        return _MACOS.get(what, _MACOS["gpu"])
    return remedies()[what]


def _system() -> Iterator[str]:
    yield f"{platform.platform()}, {platform.machine()}, Python {platform.python_version()} at {sys.executable}"
    for name in ("CLGRAD_DEVICE", "CLGRAD_DISCRETE", "OCL_ICD_VENDORS", "OPENCL_VENDOR_PATH", "POCL_DEVICES",
                 "POCL_CACHE_DIR", "RUSTICL_ENABLE", "LD_LIBRARY_PATH", "CONDA_PREFIX"):
        if os.environ.get(name):
            yield f"{name}={os.environ[name]}"


def _packages() -> Iterator[str]:
    for package in PACKAGES:
        found = survey.version(package)
        if found:
            yield f"{package} {found}"
        elif package in ("pyopencl", "numpy"):
            yield f"{package} is NOT INSTALLED"
            advise(f"pip install {package}: clgrad cannot work without it")
    if sys.platform == "linux" and platform.machine() == "x86_64" and not survey.version("pocl-binary-distribution"):
        yield "pocl-binary-distribution, a driver for the CPU, is not installed"


def _linker() -> Iterator[str]:
    yield f"ld, with which PoCL links kernels: {shutil.which('ld') or 'not on the PATH'}"
    yield f"clgrad's own, where that does not work: {LINKER if own_linker() else 'cannot be run here'}"


def _graphics() -> Iterator[str]:
    """Which GPUs the kernel drives, and whether this user may use them."""
    for card in sorted(Path("/sys/class/drm").glob("card[0-9]*/device/vendor")):
        vendor = VENDORS.get(card.read_text().strip(), card.read_text().strip())
        yield f"{card.parent.parent.name}: a GPU of {vendor}"
    nodes = [*sorted(Path("/dev/dri").glob("renderD*")), *filter(Path.exists, map(Path, ("/dev/kfd", "/dev/nvidiactl")))]
    for node in nodes:
        allowed = os.access(node, os.R_OK | os.W_OK)
        yield f"{node}: {'may be used' if allowed else 'NO PERMISSION'}{_group(node)}"
        if not allowed:
            advise(f"{node} may not be used: sudo usermod -a -G {_group_name(node)} $USER, then log in again")
    if not nodes and sys.platform == "linux":
        yield "no GPU is made available by the kernel (/dev/dri/renderD*, /dev/kfd, /dev/nvidiactl)"


def _group_name(node: Path) -> str:
    try:
        return node.group()
    except (KeyError, OSError, NotImplementedError):
        return "render"


def _group(node: Path) -> str:
    return f" (group {_group_name(node)})"


def _drivers() -> Iterator[str]:
    found = survey.registrations()
    if not found:
        yield "no driver is registered"
    for driver in found:
        survey.probe(driver, _limit["seconds"])
        yield f"{driver.registration} -> {driver.shared_object or '?'}"
        yield from (f"    has {name}" for name in driver.devices)
        if driver.problem:
            yield f"    FAILS: {driver.problem}"
            _advise_on(driver)


def _advise_on(driver: survey.Driver) -> None:
    problem, where = driver.problem, driver.registration
    if "cannot open shared object file" in problem or "No such file" in problem:
        missing = problem.split(":")[0]
        if missing == driver.shared_object:
            advise(f"{where} names a library that is not there: install its package again, or remove the file")
        else:
            advise(f"{where}: its library needs {missing}, which is not found: install it, or add its folder to "
                   "LD_LIBRARY_PATH")
    elif "no device" in problem:
        rusticl = "rusticl" in driver.shared_object.lower()
        advise(f"{where} finds no hardware that it serves" + (
            ": Mesa's rusticl has to be told, for example RUSTICL_ENABLE=radeonsi (AMD), iris (Intel), llvmpipe (CPU)"
            if rusticl and not os.environ.get("RUSTICL_ENABLE") else "; that harms nothing where it is not meant to be used"))
    elif "does not answer" in problem or "ends the whole process" in problem:
        advise(f"{where} makes programs hang or end as soon as OpenCL is used: update or remove its package, or choose "
               "other drivers with OCL_ICD_VENDORS=<folder with the .icd files to use>")
    else:
        advise(f"{where}: install its package again, or remove the file")


def _devices() -> Iterator[str]:
    found, problem = survey.trials(_limit["seconds"])
    if problem:
        yield f"pyopencl: {problem}"
        if survey.version("pyopencl"):
            advise(f"for the CPU: {_cpu_remedy()}; for GPUs: " + "; ".join(
                f"{vendor}: {remedy(vendor)}" for vendor in ("NVIDIA", "AMD", "Intel")))
    for trial in found:
        found_out = f"FAILS: {trial.problem}" if trial.problem else "runs a kernel"
        yield f"{trial.device} ({trial.platform}): {found_out}{' that clgrad links' if trial.linked else ''}"
        if trial.problem and trial.platform == POCL:
            advise(f"PoCL compiles kernels with the system's linker: {remedy('linker')}" if shutil.which("ld") is None else
                   "PoCL does not run kernels: remove its cache (~/.cache/pocl), or install it again")
    if found and all(trial.problem for trial in found):
        advise(f"no device runs a kernel. For the CPU: {_cpu_remedy()}")


def _cpu_remedy() -> str:
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return "pip install pocl-binary-distribution"
    return remedy("cpu")


SECTIONS: tuple[tuple[str, Callable[[], Iterator[str]]], ...] = (
    ("System", _system), ("Packages", _packages), ("Linker", _linker), ("GPUs", _graphics), ("Drivers", _drivers),
    ("Devices, as clgrad sees them", _devices))


def main(seconds: float = 30.0) -> int:
    """Prints the report, giving a driver ``seconds`` to answer; the exit status is 0 where a device runs kernels."""
    _advice.clear()
    _limit["seconds"] = seconds
    works = False
    for title, section in SECTIONS:
        print(f"\n{title}", flush=True)
        try:
            for line in section():
                works = works or line.endswith(": runs a kernel")
                print(f"  {line}", flush=True)
        except Exception as error:  # whatever is wrong with the machine, the rest of the report is wanted
            print(f"  could not be found out: {type(error).__name__}: {error}", flush=True)
    print("\nWhat to do")
    for line in _advice or ["nothing: clgrad works here" if works else "see above"]:
        print(f"  * {line}")
    if works:
        print("\nAt least one device works: 'python -m clgrad' tests what it computes.")
    return 0 if works else 1
