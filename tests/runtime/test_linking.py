"""clgrad's own linker: of files that a C compiler makes, of kernels, and in place of a system's."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import subprocess
import sys

import pytest

from clgrad.runtime import linker
from clgrad.runtime.linking import VARIABLE, own_linker

from .scripts import run

pytestmark = pytest.mark.skipif(sys.platform != "linux" or platform.machine() != "x86_64",
                                reason="the linker makes shared objects of x86-64 Linux")
SOURCE = """
#include <math.h>
#include <string.h>
static const double constants[] = {1.5, 2.5, 3.5};
static int numbers[3] = {1, 2, 3};
int *pointer = &numbers[1];
int untouched[1000];
double constant(int i) { return constants[i]; }
int count(int more) { untouched[999] += more; return untouched[999] + *pointer; }
double (*chosen(void))(double) { return cos; }
double called(double x) { return cos(x) + chosen()(x) + count(1); }
void copied(char *to, const char *from, long n) { memcpy(to, from, n); }
int chosen_case(int i) { switch (i) { case 0: return 7; case 1: return count(3); case 2: return 40; case 3: return -8;
                                      case 4: return 12; default: return 1; } }
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("there is no C compiler to compare with")
    folder = tmp_path_factory.mktemp("linker")
    (folder / "source.c").write_text(SOURCE)
    subprocess.run([compiler, "-O1", "-fPIC", "-fno-builtin", "-c", "source.c", "-o", "source.o"], cwd=folder, check=True)
    return folder / "source.o"


def test_what_a_c_compiler_made(compiled, tmp_path):
    assert linker.main(["-shared", "-o", str(tmp_path / "made.so"), "-L/nowhere", str(compiled), "-lgcc", "-lc"]) == 0
    library = ctypes.CDLL(str(tmp_path / "made.so"))
    library.constant.restype = library.called.restype = ctypes.c_double
    library.called.argtypes = [ctypes.c_double]
    assert [library.constant(i) for i in range(3)] == [1.5, 2.5, 3.5]
    assert [library.count(4), library.count(5)] == [6, 11]
    assert library.called(0.5) == pytest.approx(2 * math.cos(0.5) + 12)
    text = ctypes.create_string_buffer(8)
    library.copied(text, b"kernels", ctypes.c_long(4))
    assert text.value == b"kern"
    assert [library.chosen_case(i) for i in range(6)] == [7, 15, 40, -8, 12, 1]
    assert ctypes.c_int.in_dll(library, "untouched").value == 0


def test_what_is_refused(compiled, tmp_path, capsys):
    data = compiled.read_bytes()
    for damaged in (b"", b"no object file" * 10, data[:18] + b"\x28" + data[19:]):
        with pytest.raises(linker.LinkError, match="no object file"):
            linker.link(damaged)
    with pytest.raises(linker.LinkError, match="no object file"):
        linker.link(linker.link(data))
    assert linker.main([str(compiled)]) == 1
    assert linker.main(["-o", str(tmp_path / "made.so"), "a.o", "b.o"]) == 1
    assert linker.main(["-o", str(tmp_path / "made.so"), str(tmp_path / "missing.o")]) == 1
    assert "missing.o" in capsys.readouterr().err


PROGRAM = """
import os
import clgrad
x = clgrad.linspace(-2, 2, 1000)
assert abs((x.exp() * x.tanh()).sum().item() - 1164.8865) < 1e-2
layer = clgrad.nn.Conv2d(3, 4, 3)
layer(clgrad.ones(2, 3, 8, 8)).square().sum().backward()
assert layer.weight.grad.isfinite().all() and clgrad.ones(70, 70).mm(clgrad.ones(70, 70)).sum().item() == 70.0 ** 3
print("by clgrad" if "COMPILER_PATH" in os.environ else "by the driver")
"""


def linked(program: str, **environment: str) -> None:
    """Runs a program, whose kernels clgrad's linker has to make; skips the test where the driver needs none."""
    if "by the driver" in run(program, **environment, COMPILER_PATH=None).stdout:
        pytest.skip("this driver needs no linker on the PATH")


def test_a_system_without_a_linker(tmp_path):
    """The first start tries both out, the second one remembers; nothing is taken from another cache."""
    (tmp_path / "pocl").mkdir()
    for _ in range(2):
        linked(PROGRAM, PATH=str(tmp_path), CLGRAD_CACHE=str(tmp_path / "cache"), POCL_CACHE_DIR=str(tmp_path / "pocl"))
    assert len(list((tmp_path / "cache").glob("linker-*.own"))) == 1


def test_a_linker_without_the_libraries_of_a_compiler(tmp_path):
    """A system with ``ld`` alone: it fails, as the libraries that PoCL's compiler names are not there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "pocl").mkdir()
    (tmp_path / "bin" / "ld").write_text("#!/bin/sh\necho 'cannot find -lgcc' >&2\nexit 1\n")
    (tmp_path / "bin" / "ld").chmod(0o755)
    linked(PROGRAM, PATH=str(tmp_path / "bin"), CLGRAD_CACHE=str(tmp_path / "cache"), POCL_CACHE_DIR=str(tmp_path / "pocl"))


def test_the_script_lies_where_it_can(tmp_path, monkeypatch):
    monkeypatch.setenv("CLGRAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, "/elsewhere")
    first, second = own_linker()[VARIABLE].split(os.pathsep)
    assert second == "/elsewhere" and first.startswith(str(tmp_path)) and os.access(os.path.join(first, "ld"), os.X_OK)
    monkeypatch.setenv(VARIABLE, own_linker()[VARIABLE])
    assert own_linker()[VARIABLE].split(os.pathsep) == [first, second]
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLGRAD_CACHE", str(tmp_path / "file"))
    assert not own_linker()[VARIABLE].startswith(str(tmp_path / "file"))
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert own_linker() == {}
