"""Every kernel of ``cl_kernels/`` runs on Oclgrind, in both forms: no access beyond a buffer, no race, no value read that
nobody wrote, no barrier that not all reach, no wrong call."""

from __future__ import annotations

import json
import re

import pytest

from clgrad.runtime.program import SOURCES, source_text
from tests.oclgrind import catalogue, checks

pytestmark = pytest.mark.skipif(checks.driver() is None, reason="Oclgrind is not installed (apt-get install oclgrind)")

FORMS = ("cpu", "gpu")
# Their launchers are for CPUs; GPUs get compositions of other operators, or conv.cl.
FOR_CPUS = {"fill.cl", "grid_sample.cl", "norm.cl", "recurrent.cl", "conv_depthwise.cl", "conv_panels.cl",
            "conv_weight_panels.cl", "conv_weight_winograd.cl", "conv_winograd.cl", "resample_rows", "fft_lanes",
            "fft_residues"}
KERNEL = re.compile(r"\bkernel\s+(?:__attribute__\(\([^;{]*?\)\)\)\s*)?void\s+(\w+)\s*\(")
GENERATED = {"elementwise.cl": "KERNEL_NAME"}  # the operator's name
_reports: dict[str, list[dict]] = {}


def report(form: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """What the harness reports of each case of a form; it runs once."""
    if form not in _reports:
        folder = tmp_path_factory.mktemp(f"oclgrind-{form}")
        done, _ = checks.run(["-m", "tests.oclgrind.harness", form, str(folder / "report")], folder, 1200)
        lines = [json.loads(line) for line in (folder / "report").read_text().splitlines()]
        error = done.stderr[-2000:] if done.returncode else ""
        lines.append({"case": "the whole run", "file": "", "kernels": [], "error": error,
                      "findings": "\n".join(checks.api_errors(done.stderr))})
        _reports[form] = lines
    return _reports[form]


def kernels_of(form: str) -> set[tuple[str, str]]:
    """(file, kernel) of every kernel in the text of ``cl_kernels/`` that a form of the device code has."""
    found = set()
    for path in sorted(SOURCES.glob("*.cl")):
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", source_text(path.name), flags=re.S).replace("__kernel", "kernel")
        found |= {(path.name, name) for name in KERNEL.findall(_branch(text, form))}
    return found


def _branch(text: str, form: str) -> str:
    """The lines that ``#if DEVICE_CPU`` (also ``!DEVICE_CPU``) leaves for a form; other conditions keep all lines."""
    kept, stack = [], []
    for line in text.splitlines():
        directive = re.match(r"\s*#\s*(ifdef|ifndef|if|elif|else|endif)\b\s*(.*)", line)
        if directive:
            word, condition = directive[1], directive[2].strip()
            if word in ("if", "ifdef", "ifndef"):
                stack.append({"DEVICE_CPU": form == "cpu", "!DEVICE_CPU": form == "gpu"}.get(condition)
                             if word == "if" else None)
            elif word in ("else", "elif") and stack[-1] is not None:
                stack[-1] = not stack[-1]
            elif word == "endif":
                stack.pop()
        elif False not in stack:
            kept.append(line)
    return "\n".join(kept)


@pytest.mark.parametrize(("form", "file", "case"), [
    pytest.param(form, file, case.__name__, id=f"{form}-{case.__name__}")
    for form in FORMS for file, case in catalogue.of_form(form, [])] + [
    pytest.param(form, "", "the whole run", id=f"{form}-all") for form in FORMS])
@pytest.mark.timeout(1300)
def test_nothing_is_found(form, file, case, tmp_path_factory):
    lines = [line for line in report(form, tmp_path_factory) if (line["file"], line["case"]) == (file, case)]
    assert len(lines) == 1, f"the case was not run: {report(form, tmp_path_factory)[-1]['error']}"
    assert lines[0]["error"] == ""
    assert lines[0]["findings"] == "", lines[0]["findings"][:3000]


@pytest.mark.timeout(1300)
def test_no_kernel_is_left_out(tmp_path_factory):
    wanted = {form: kernels_of(form) for form in FORMS}
    assert sum(map(len, wanted.values())) > 80, "the kernels were not recognised in the sources"
    wanted["gpu"] = {kernel for kernel in wanted["gpu"] if not FOR_CPUS & set(kernel)}
    for form in FORMS:
        launched = {(file, name) for line in report(form, tmp_path_factory) for file, name in line["kernels"]}
        launched |= {(file, GENERATED[file]) for file, _ in launched if file in GENERATED}
        assert wanted[form] - launched == set()


@pytest.mark.parametrize(("name", "finding"), [
    ("sound", ""), ("beyond", "Invalid write of size 4"), ("race", "Write-write data race"),
    ("uninitialised", "Uninitialized value"), ("divergent", "divergence")])
def test_a_planted_fault_is_found(name, finding, tmp_path):
    done, log = checks.run(["-m", "tests.oclgrind.planted", name], tmp_path, 60)
    assert done.returncode == 0, done.stderr
    assert (finding in log) if finding else (log == ""), log


def test_a_planted_wrong_call_is_found(tmp_path):
    done, _ = checks.run(["-m", "tests.oclgrind.planted", "call"], tmp_path, 60)
    assert any("clEnqueueNDRangeKernel" in call for call in checks.api_errors(done.stderr))
    done, _ = checks.run(["-m", "tests.oclgrind.planted", "sound"], tmp_path, 60)
    assert checks.api_errors(done.stderr) == []


def test_kernels_are_recognised_in_the_sources():
    assert ("reduce.cl", "reduce_rows") in kernels_of("cpu") & kernels_of("gpu")
    assert ("sort.cl", "sort_rows") in kernels_of("cpu") - kernels_of("gpu")
    assert ("gemm.cl", "gemm_blocks") in kernels_of("gpu") - kernels_of("cpu")
