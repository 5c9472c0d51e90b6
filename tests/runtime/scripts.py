"""Running a small program in a process of its own, with another environment."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap


def run(source: str, expect: int | None = 0, timeout: float = 120, **environment: str | None) -> subprocess.CompletedProcess:
    """Runs ``source``; fails where it does not end with ``expect``. A variable given as None is taken away."""
    variables = {**os.environ, "PYTHONWARNINGS": "error", "CLGRAD_DISCRETE": "0"}
    for name, value in environment.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, timeout=timeout,
                          check=False, env=variables)
    assert expect is None or done.returncode == expect, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
