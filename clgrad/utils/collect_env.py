"""``python -m clgrad.utils.collect_env``: what a report of a bug should say of the machine; see also ``clgrad doctor``.

The fields that PyTorch has for CUDA are None; ``opencl_devices`` says what there is instead.
"""

from __future__ import annotations

import platform
import sys
from importlib.metadata import distributions
from typing import NamedTuple

from clgrad.runtime import default_device, devices, gpus
from clgrad.version import __version__

__all__ = ["SystemEnv", "get_env_info", "get_os", "get_pip_packages", "get_platform", "get_pretty_env_info",
           "get_python_platform", "main", "pretty_str"]

# Packages whose versions matter, by the beginnings of their names.
PIP_PATTERNS = ("clgrad", "intel-cmplr", "intel-opencl", "numpy", "onnx", "platformdirs", "pocl", "pyopencl", "pytools",
                "safetensors", "scipy", "torch")


class SystemEnv(NamedTuple):
    """What :func:`get_env_info` found."""

    torch_version: str
    is_debug_build: str
    cuda_compiled_version: str | None
    os: str
    libc_version: str
    python_version: str
    python_platform: str
    is_cuda_available: str
    cuda_runtime_version: str | None
    nvidia_driver_version: str | None
    nvidia_gpu_models: str | None
    cudnn_version: str | None
    pip_packages: str
    cpu_info: str
    opencl_devices: str
    default_device: str


def get_platform() -> str:
    """``linux``, ``win32`` or ``darwin``."""
    return sys.platform


def get_python_platform() -> str:
    """The system's full name."""
    return platform.platform()


def get_os() -> str:
    """The system's name and version, and the machine's kind."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = f"{platform.system()} {platform.release()}"
    return f"{name} ({platform.machine()})"


def get_pip_packages() -> str:
    """A line for each package that clgrad works with, as ``pip freeze`` has it."""
    found = {entry.metadata["Name"].lower(): entry.version for entry in distributions()}
    return "\n".join(f"{name}=={version}" for name, version in sorted(found.items()) if name.startswith(PIP_PATTERNS))


def _devices() -> str:
    lines = []
    for number, limits in enumerate(devices()):
        lines.append(f"cl:{number}: {limits.name}, {limits.platform}, {limits.version}, driver {limits.driver}, "
                     f"{limits.compute_units} units, {limits.memory >> 20} MiB, float64 {'yes' if limits.fp64 else 'no'}")
    return "\n".join(lines)


def get_env_info() -> SystemEnv:
    """What there is on this machine."""
    bits = 64 if sys.maxsize > 1 << 32 else 32
    return SystemEnv(
        torch_version=f"clgrad {__version__}", is_debug_build="False", cuda_compiled_version=None, os=get_os(),
        libc_version="-".join(platform.libc_ver()) or "N/A",
        python_version=f"{sys.version} ({bits}-bit runtime)".replace("\n", " "), python_platform=get_python_platform(),
        is_cuda_available=str(bool(gpus())), cuda_runtime_version=None,
        nvidia_driver_version=None, nvidia_gpu_models=None, cudnn_version=None, pip_packages=get_pip_packages(),
        cpu_info=platform.processor() or platform.machine(), opencl_devices=_devices(),
        default_device=str(default_device()))


def pretty_str(envinfo: SystemEnv) -> str:
    """What was found, to read."""
    packages = "\n".join(f"[pip3] {line}" for line in envinfo.pip_packages.splitlines())
    return "\n".join([
        f"PyTorch version: {envinfo.torch_version}", f"Is debug build: {envinfo.is_debug_build}",
        "CUDA used to build PyTorch: none, every computation is OpenCL", "", f"OS: {envinfo.os}",
        f"Libc version: {envinfo.libc_version}", "", f"Python version: {envinfo.python_version}",
        f"Python platform: {envinfo.python_platform}", f"Is CUDA available: {envinfo.is_cuda_available} (an OpenCL GPU)",
        f"Default device: {envinfo.default_device}", "", "OpenCL devices:", envinfo.opencl_devices, "", "CPU:",
        envinfo.cpu_info, "", "Versions of relevant libraries:", packages])


def get_pretty_env_info() -> str:
    """What there is on this machine, to read."""
    return pretty_str(get_env_info())


def main() -> None:
    """Prints it."""
    print("Collecting environment information...")
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
