"""Tuned numbers of kernels: what ships for known devices, and what ``python -m clgrad tune`` found on this machine.

The file of this machine is JSON, ``tuning.json`` in the user's cache folder for clgrad (``CLGRAD_TUNING`` names
another)::

    {"version": 1, "devices": {"<platform>: <device>": {"driver": "3.0", "gemm": {"block_depth": 256}}}}

An entry is valid for the driver that it was measured with. A file that cannot be read is ignored with one warning.
"""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

from clgrad.runtime.limits import Limits
from clgrad.runtime.linking import cache_folder

VERSION = 1

# What was measured, by kernel and by a part of the device's name; a launcher's own defaults serve the others.
SHIPPED: dict[str, dict[str, dict[str, int]]] = {
    "gemm": {"AMD EPYC": {"block_rows": 128}},
}

_read: dict[Path, dict[str, Any]] = {}


def table_path() -> Path:
    """Where the numbers of this machine are kept."""
    return Path(os.environ.get("CLGRAD_TUNING") or cache_folder() / "tuning.json")


def tuned(limits: Limits, kernel: str) -> dict[str, int]:
    """The numbers measured for a kernel on a device: the shipped ones, replaced by those of this machine."""
    found: dict[str, int] = {}
    for part, numbers in SHIPPED.get(kernel, {}).items():
        if part in limits.name:
            found |= numbers
    entry = _devices(table_path()).get(_key(limits), {})
    return found | entry.get(kernel, {}) if entry.get("driver") == limits.driver else found


def store(limits: Limits, kernel: str, numbers: dict[str, int]) -> Path:
    """Writes what was measured on this machine, and returns the file; OSError where it cannot be written."""
    path = table_path()
    devices = _devices(path)
    entry = devices.get(_key(limits), {})
    if entry.get("driver") != limits.driver:
        entry = {"driver": limits.driver}
    devices = devices | {_key(limits): entry | {kernel: numbers}}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".json", delete=False, encoding="utf-8") as file:
        json.dump({"version": VERSION, "devices": devices}, file, indent=1)
    os.replace(file.name, path)
    _read[path] = devices
    return path


def forget() -> None:
    """Reads the file anew when it is next asked for."""
    _read.clear()


def _key(limits: Limits) -> str:
    return f"{limits.platform}: {limits.name}" + ("" if limits.is_cpu else " (GPU form)")


def _devices(path: Path) -> dict[str, Any]:
    """The devices of a file, read once; none where there is no file, it is of another version, or it is damaged."""
    found = _read.get(path)
    if found is None:
        try:
            found = _checked(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            found = {}
        except (OSError, ValueError) as problem:
            warnings.warn(f"the table of tuned numbers {path} is ignored: {problem}. 'python -m clgrad tune' writes it "
                          "anew", RuntimeWarning, stacklevel=2)
            found = {}
        _read[path] = found
    return found


def _checked(content: Any) -> dict[str, Any]:
    """The devices of a table's content; ValueError where it is not of the form that :func:`store` writes."""
    if not isinstance(content, dict) or "version" not in content:
        raise ValueError("it is no table of tuned numbers")
    if content["version"] != VERSION:
        return {}
    devices = content.get("devices")
    if not isinstance(devices, dict) or not all(isinstance(entry, dict) for entry in devices.values()):
        raise ValueError("its devices are not readable")
    for entry in devices.values():
        for kernel, numbers in entry.items():
            if kernel != "driver" and not (isinstance(numbers, dict) and all(type(n) is int for n in numbers.values())):
                raise ValueError(f"its numbers for {kernel} are not readable")
    return devices
