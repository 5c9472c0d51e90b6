"""The folder of compiled kernels: two processes at once, not writable, full, damaged. It still works, with one warning."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clgrad.runtime import devices
from tests.runtime.scripts import run

pytestmark = pytest.mark.skipif(not any(limits.is_pocl for limits in devices()), reason="the driver keeps no such folder")

PROGRAM = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import clgrad
    x = clgrad.arange(100.0)
    print((x * 2 + 1).sum().item())
print(len(caught), *[w.message for w in caught])
"""


def in_folder(folder, program=PROGRAM, **options):
    return run(program, POCL_CACHE_DIR=str(folder), PYTHONWARNINGS=None, **options)


def test_two_processes_that_start_cold_at_once(tmp_path):
    with ThreadPoolExecutor(2) as both:
        results = both.map(lambda _: in_folder(tmp_path / "kernels", CLGRAD_CACHE=str(tmp_path / "clgrad")), range(2))
        assert [done.stdout for done in results] == ["10000.0\n0\n"] * 2


@pytest.mark.parametrize("place", ["file", "/proc/none"])
def test_a_folder_that_cannot_be_written(tmp_path, place):
    (tmp_path / "file").touch()
    lines = in_folder(tmp_path / place).stdout.splitlines()
    assert lines[0] == "10000.0" and lines[1].startswith("1 compiled kernels cannot be kept in")


def test_a_full_folder(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=900k", "none", str(tmp_path)], capture_output=True).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        lines = in_folder(tmp_path).stdout.splitlines()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert lines[0] == "10000.0" and "No space left" in lines[1] and lines[1].startswith("1 ")


def test_no_room_anywhere_is_an_error_with_a_reason(tmp_path):
    done = in_folder(tmp_path, """
    import resource, sys
    import clgrad
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        (clgrad.ones(3) + 1).tolist()
    except clgrad.errors.DeviceError as error:
        print("DeviceError")
    """)
    assert done.stdout == "DeviceError\n" and "there is no folder for compiled kernels" in done.stderr


def test_damaged_programs_are_compiled_again(tmp_path):
    in_folder(tmp_path)
    programs = list(tmp_path.glob("*/*/program.bc"))
    assert programs
    for file in programs:
        file.write_bytes(b"garbage")
    # PoCL 3.0 keeps what it could not read, and aborts when the process has come to its end.
    lines = in_folder(tmp_path, expect=None).stdout.splitlines()
    assert lines[0] == "10000.0" and lines[1].startswith("1 PoCL's folder of compiled kernels is damaged")


def test_damaged_kernels_are_thrown_away_after_a_crash(tmp_path):
    in_folder(tmp_path)
    kernels = list(tmp_path.glob("*/*/*/*/*.so"))
    if not kernels:
        pytest.skip("this PoCL keeps its kernels in another form")
    (tmp_path / f"clgrad-{ended()}.running").touch()  # what a process leaves that PoCL aborts
    for file in kernels:
        file.write_bytes(file.read_bytes()[:200])
    lines = in_folder(tmp_path).stdout.splitlines()
    assert lines[0] == "10000.0" and "damaged compiled kernels" in lines[1]
    assert list(tmp_path.glob("*.running")) == []
    assert in_folder(tmp_path).stdout == "10000.0\n0\n"


def test_workers_leave_no_mark_of_a_crash(tmp_path):
    """Else each epoch's workers would look through the whole folder for what the last ones' crash had damaged."""
    program = tmp_path / "program.py"
    program.write_text("""
import pathlib, sys
import clgrad
from clgrad.utils.data import DataLoader, TensorDataset
if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    for _ in DataLoader(TensorDataset(clgrad.arange(8.0) * 2), num_workers=2):
        most = len(list(folder.glob("*.running")))
    print(most, len(list(folder.glob("*.running"))))
""")
    folder = tmp_path / "kernels"
    environment = {**os.environ, "POCL_CACHE_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(program), str(folder)], capture_output=True, text=True, timeout=100,
                          check=True, env=environment)
    assert done.stdout == "3 1\n" and not list(folder.glob("*.running"))


def ended() -> int:
    """The number of a process that is over."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid
