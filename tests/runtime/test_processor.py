"""PoCL is told the processor that its built-in functions are compiled for: `clgrad.runtime.processor`."""

import ctypes
import sys
from types import SimpleNamespace

import pytest

import clgrad as torch
from clgrad.errors import DeviceError, LinkerMissingError
from clgrad.runtime import processor, survey
from clgrad.runtime.devices import devices
from clgrad.runtime.probe import check_pocl

ZEN3 = "fma cx16 sse4_1 popcnt avx f16c bmi1 avx2 bmi2 abm ssse3"


@pytest.mark.parametrize(("flags", "expected"), [
    ("", "x86-64"), ("cx16 ssse3", "core2"), ("cx16 ssse3 sse4_1 popcnt avx", "sandybridge"), (ZEN3, "haswell"),
    (ZEN3.replace("fma ", ""), "ivybridge"), (ZEN3 + " avx512f avx512dq", "skylake-avx512"),
])
def test_the_built_in_functions_that_pocl_takes(flags, expected):
    assert processor.built_in_for(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t: spectre\n") == expected


class Record:
    """A driver's record of a device: a number, a pointer to a name, and one to something else."""

    def __init__(self, name: str):
        self.strings = [ctypes.create_string_buffer(text.encode()) for text in (name, f"{name}-not")]
        words = [1, *map(ctypes.addressof, self.strings), 3]
        self.words = (ctypes.c_uint64 * 512)(*words)
        self.handle = SimpleNamespace(version=f"OpenCL 3.0 PoCL HSTR: pthread-x86_64-unknown-linux-gnu-{name}",
                                      int_ptr=ctypes.addressof(self.words))


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc on this system")
@pytest.mark.parametrize("name", ["generic", "znver3"])
def test_a_name_that_pocl_cannot_use_is_replaced(name):
    record = Record(name)
    told = processor.target_of(record.handle)
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        assert told == processor.built_in_for(file.read())
    assert ctypes.string_at(record.words[1]).decode() == told
    assert record.words[2] == ctypes.addressof(record.strings[1])  # only a whole name is meant
    assert (record.words[0], record.words[3]) == (1, 3)


def test_names_that_work_stay():
    record = Record("haswell")
    assert processor.target_of(record.handle) == "haswell"
    assert record.words[1] == ctypes.addressof(record.strings[0])
    assert processor.target_of(SimpleNamespace(version="OpenCL 3.0 PoCL HSTR: pthread-aarch64-linux-gnu-generic")) == ""


def test_a_record_that_does_not_hold_the_name_is_left_alone():
    record = Record("generic")
    record.handle.version = record.handle.version.replace("generic", "znver9")
    before = list(record.words)
    assert processor.target_of(record.handle) == "znver9"
    assert list(record.words) == before


@pytest.mark.parametrize(("problem", "error", "text"), [
    ("error: unknown target CPU 'generic' (compiling a kernel)", DeviceError,
     "cannot compile kernels for this processor: error: unknown target CPU"),
    ("it ends the whole process with SIGABRT (running a kernel)", LinkerMissingError, "cannot link its kernels"),
])
def test_what_goes_wrong_is_said(monkeypatch, tmp_path, problem, error, text):
    assert (torch.ones(1) + 1).item() == 2
    monkeypatch.setenv("CLGRAD_CACHE", str(tmp_path))
    monkeypatch.setattr(survey, "try_out", lambda which, seconds, environment=None: problem)
    monkeypatch.setattr("clgrad.runtime.probe.shutil.which", lambda name: sys.executable)
    with pytest.raises(error, match=text) as caught:
        check_pocl(devices()[0])
    assert type(caught.value) is error
