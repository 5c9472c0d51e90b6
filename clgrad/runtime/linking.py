"""clgrad's own linker, ``linker.py``, as the one that PoCL starts: where the system has none that works.

PoCL links a kernel by ``ld``, and, through its compiler, by libraries of a C compiler that it does not need. Many machines,
small containers and desktops among them, have neither; then the variable ``COMPILER_PATH`` leads to a script that runs
``linker.py`` by this Python.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import sys
import tempfile
from multiprocessing.util import Finalize
from pathlib import Path

import platformdirs

LINKER = Path(__file__).with_name("linker.py")
VARIABLE = "COMPILER_PATH"


def cache_folder() -> Path:
    """Where clgrad keeps what it found out about this machine; ``CLGRAD_CACHE`` overrides it."""
    return Path(os.environ.get("CLGRAD_CACHE") or platformdirs.user_cache_dir("clgrad", appauthor=False))


def own_linker() -> dict[str, str]:
    """The environment variable with which PoCL links by clgrad's linker; none where that cannot be run."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or not sys.executable:
        return {}
    script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(str(LINKER))} "$@"\n'
    name = f"linker-{hashlib.sha256(script.encode()).hexdigest()[:16]}"
    try:
        folder = _with_script(cache_folder() / name, script)
    except OSError:
        try:
            folder = _with_script(Path(tempfile.mkdtemp(prefix="clgrad-linker-")), script)
        except OSError:
            return {}
        Finalize(None, shutil.rmtree, (folder, True), exitpriority=0)
    others = [other for other in os.environ.get(VARIABLE, "").split(os.pathsep) if other not in ("", str(folder))]
    return {VARIABLE: os.pathsep.join([str(folder), *others])}


def _with_script(folder: Path, text: str) -> Path:
    """The folder, in which the script is; OSError where it cannot be put there."""
    script = folder / "ld"
    with contextlib.suppress(OSError):
        if script.read_text(encoding="utf-8") == text and os.access(script, os.X_OK):
            return folder
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / f"ld.{os.getpid()}"
    made.write_text(text, encoding="utf-8")
    made.chmod(0o755)
    made.replace(script)  # at once: another process may be about to run it
    return folder
