"""``python -m clgrad doctor`` on machines with something wrong: it tells what, and what to do, and never fails itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from clgrad import doctor
from clgrad.runtime import survey
from clgrad.runtime.survey import Driver

# A library that does something when it is loaded, or when it is asked for its platforms.
SOURCE = """
#include <stdlib.h>
#include <unistd.h>
__attribute__((constructor)) static void begin(void) { %s }
void *clGetExtensionFunctionAddress(const char *name) { %s return 0; }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Builds a shared library with the given initialiser."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler is needed to make broken drivers")
    folder = tmp_path_factory.mktemp("drivers")

    def build(name: str, begin: str = "", ask: str = "") -> str:
        source = folder / f"{name}.c"
        source.write_text(SOURCE % (begin, ask))
        path = folder / f"lib{name}.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", path, source], check=True)
        return str(path)
    return build


def run_doctor(*options: str, **environment: str | None) -> subprocess.CompletedProcess:
    variables = {**os.environ, "PYTHONWARNINGS": "error"}
    for name, value in environment.items():
        variables.pop(name, None)
        if value is not None:
            variables[name] = value
    return subprocess.run([sys.executable, "-m", "clgrad", "doctor", *options], capture_output=True, text=True, timeout=110,
                          check=False, env=variables)


def test_a_machine_that_is_in_order():
    done = run_doctor()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for words in ("System\n", "pyopencl 20", "Drivers\n", ": runs a kernel", "At least one device works"):
        assert words in done.stdout


@pytest.mark.parametrize(("begin", "ask", "expected"), [
    ("abort();", "", "ends the whole process with SIGABRT (loading the library)"),
    ("*(volatile int *)0 = 1;", "", "ends the whole process with SIGSEGV (loading the library)"),
    ("_exit(9);", "", "the process ended with status 9 (loading the library)"),
    ("for (;;) sleep(1);", "", "does not answer within 2 s (loading the library)"),
    ("", "for (;;) sleep(1);", "does not answer within 2 s (asking for its platforms)"),
    ("", "", "it is no OpenCL driver: it has no clIcdGetPlatformIDsKHR"),
])
def test_a_driver_that_misbehaves(library, begin, ask, expected):
    path = library(f"bad{abs(hash((begin, ask)))}", begin, ask)
    driver = survey.probe(Driver("a file", path), 2)
    assert driver.devices == []
    assert expected in driver.problem


def test_registrations_that_are_wrong(tmp_path, monkeypatch):
    (tmp_path / "empty.icd").write_text("\n")
    (tmp_path / "missing.icd").write_text("libnowhere.so.1\n")
    (tmp_path / "folder.icd").mkdir()
    (tmp_path / "binary.icd").write_bytes(bytes(range(256)))
    (tmp_path / "other.txt").write_text("libpocl.so\n")
    monkeypatch.setenv("OCL_ICD_VENDORS", str(tmp_path))
    found = {driver.registration.rsplit("/", 1)[-1]: survey.probe(driver, 20)
             for driver in survey.registrations() if str(tmp_path) in driver.registration}
    assert set(found) == {"empty.icd", "missing.icd", "folder.icd", "binary.icd"}
    assert "does not name a library" in found["empty.icd"].problem
    assert "libnowhere.so.1" in found["missing.icd"].problem
    assert "cannot be read" in found["folder.icd"].problem
    assert "does not name a library" in found["binary.icd"].problem


def test_the_whole_report_with_a_hanging_driver(library, tmp_path):
    (tmp_path / "stuck.icd").write_text(library("stuck", "for (;;) sleep(1);"))
    (tmp_path / "gone.icd").write_text("libgone.so")
    done = run_doctor("--timeout", "2", OCL_ICD_VENDORS=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "FAILS: it does not answer within 2 s (loading the library)" in done.stdout
    assert "pyopencl: it does not answer within 2 s" in done.stdout
    assert "makes programs hang or end as soon as OpenCL is used" in done.stdout
    assert "gone.icd names a library that is not there" in done.stdout


def test_without_pyopencl(tmp_path):
    program = f"""
    import importlib.util, sys
    found = importlib.util.find_spec
    importlib.util.find_spec = lambda name, package=None: None if name == "pyopencl" else found(name, package)
    import clgrad
    try:
        clgrad.ones(2) + 1
    except ImportError as error:
        print(error)
    from clgrad import doctor
    from clgrad.runtime import survey
    survey.version = lambda package: None
    survey.sys.executable = {str(tmp_path / 'python')!r}
    sys.exit(doctor.main())
    """
    (tmp_path / "python").write_text(f"#!/bin/sh\nexec {sys.executable} -S \"$@\"\n")
    (tmp_path / "python").chmod(0o755)
    done = subprocess.run([sys.executable, "-c", "\n".join(line[4:] for line in program.splitlines())], capture_output=True,
                          text=True, timeout=110, check=False)
    assert done.returncode == 1, done.stderr
    assert "clgrad needs pyopencl: pip install pyopencl" in done.stdout
    assert "pyopencl is NOT INSTALLED" in done.stdout
    assert "* pip install pyopencl: clgrad cannot work without it" in done.stdout
    assert "Traceback" not in done.stderr


def test_without_a_linker(tmp_path):
    done = run_doctor(PATH=str(tmp_path), POCL_CACHE_DIR=str(tmp_path))
    assert "ld, with which PoCL links kernels: not on the PATH" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_section_that_fails_is_reported_and_the_others_follow(monkeypatch, capsys):
    def fails():
        raise OSError("no such thing")
        yield
    monkeypatch.setattr(doctor, "SECTIONS", (("First", fails), ("Second", lambda: iter(["fine"]))))
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert "could not be found out: OSError: no such thing" in out
    assert "fine" in out


@pytest.mark.parametrize(("release", "expected"), [
    ("ID=debian\n", "apt-get install pocl-opencl-icd"), ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt-get"),
    ("ID=fedora\n", "dnf"), ("ID=arch\n", "pacman"), ('ID="opensuse-leap"\n', "zypper"), ("ID=alpine\n", "apk"),
    ("", "your distribution's package")])
def test_the_advice_is_the_distributions(tmp_path, monkeypatch, release, expected):
    file = tmp_path / "os-release"
    file.write_text(release)
    monkeypatch.setattr(doctor, "Path", lambda name: file if name == "/etc/os-release" else None)
    monkeypatch.setattr(doctor.sys, "platform", "linux")
    assert expected in doctor.remedy("cpu")


@pytest.mark.parametrize(("system", "expected"), [("win32", "Windows Update"), ("darwin", "part of macOS")])
def test_other_systems_have_their_advice(monkeypatch, system, expected):
    monkeypatch.setattr(doctor.sys, "platform", system)
    assert expected in doctor.remedy("NVIDIA")
    assert "pip install" in doctor.remedy("cpu")


def test_a_group_that_is_missing_is_told(tmp_path, monkeypatch):
    node = tmp_path / "renderD128"
    node.write_text("")
    monkeypatch.setattr(doctor.Path, "glob", lambda self, pattern: [node] if pattern.startswith("renderD") else [])
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    monkeypatch.setattr(doctor, "_advice", [])
    assert "NO PERMISSION" in "\n".join(doctor._graphics())
    assert any("usermod -a -G" in line for line in doctor._advice)
