"""Runs the tests, or some of them, on every OpenCL driver that is found: ``python -m tests.matrix [PATH ...]``.

Drivers are those that the system registers, PoCL and Intel's runtime where pip installed them into this environment, and
those whose ``.icd`` files lie in a folder given with ``--drivers``. Each runs in processes of its own, one a file, so that
a driver that crashes loses one file only, and one that keeps megabytes for each kernel gives them back. ``--write`` puts
the table into docs/devices.md; ``--smoke`` runs the self-test and tests/test_smoke.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from clgrad.runtime import survey

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "devices.md"
BEGIN, END = "<!-- matrix -->", "<!-- end of the matrix -->"
SUITE = ("tests/test_smoke.py", "tests/kernels", "tests/ops", "tests/autograd", "tests/nn", "tests/optim",
         "tests/test_tensor.py", "tests/test_creation.py")
SIMULATORS = ("oclgrind",)  # a test of its own runs the kernels there


@dataclass
class Outcome:
    """What the tests gave on one device."""

    device: str
    driver: str
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)


def libraries(folders: Sequence[Path]) -> dict[str, str]:
    """The drivers' libraries, by a short name."""
    found = {}
    for driver in survey.registrations():
        if ".libs" not in driver.registration and driver.shared_object:
            found[driver.shared_object] = driver.shared_object
    for folder in folders:
        for file in sorted(folder.rglob("*.icd")):
            library = file.read_text(encoding="utf-8").strip()
            found[library] = library
    for file in importlib.metadata.files("intel-opencl-rt") or [] if survey.version("intel-opencl-rt") else []:
        if file.name == "libintelocl.so":
            found[str(Path(str(file.locate())).resolve())] = str(Path(str(file.locate())).resolve())
    return {Path(library).name: library for library in found if not any(s in library for s in SIMULATORS)}


def environment(library: str | None, folder: Path) -> dict[str, str]:
    """The environment in which a driver is the first that loaders find; None: the PoCL of pip, alone."""
    vendors = folder / "vendors"
    vendors.mkdir()
    variables = {**os.environ, "OCL_ICD_VENDORS": str(vendors)}
    variables.pop("CLGRAD_DEVICE", None)  # the driver's device is `cpu`, also where it is a GPU, as there is no other
    if library is None:
        variables.pop("OCL_ICD_VENDORS")
        return variables
    (vendors / "driver.icd").write_text(library, encoding="utf-8")
    if os.path.dirname(library):
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(
            filter(None, [os.path.dirname(library), os.environ.get("LD_LIBRARY_PATH")]))
    variables.setdefault("RUSTICL_ENABLE", "llvmpipe")
    return variables


def about(variables: dict[str, str]) -> tuple[str, str] | None:
    """Name and driver of the default device; None where the driver has none that works."""
    program = ("import clgrad; limits = clgrad.runtime.default_device().compute.limits; "
               "print(limits.name, limits.platform + ' ' + limits.driver, sep='|')")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=variables, cwd=ROOT,
                          timeout=120, check=False)
    if done.returncode:
        return None
    device, driver = done.stdout.strip().splitlines()[-1].split("|")
    return device, driver


def files(path: str) -> list[str]:
    """The files with tests of a folder; the path itself where it is none."""
    folder = ROOT / path
    return [str(file.relative_to(ROOT)) for file in sorted(folder.rglob("test_*.py"))] if folder.is_dir() else [path]


def run_path(outcome: Outcome, path: str, variables: dict[str, str], folder: Path, seconds: float) -> None:
    """Runs the tests of one file, or of a path with the name of a test, and adds them up."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--timeout=300",
               f"--junitxml={report}", path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=ROOT, timeout=seconds, check=False)
        ended = f"status {done.returncode}"
    except subprocess.TimeoutExpired:
        ended = f"no end after {seconds:g} s"
    if not report.exists():
        outcome.crashes.append(f"{path}: {ended}")
        return
    for case in ElementTree.parse(report).iter("testcase"):
        kind = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        outcome.counts["failed" if kind in ("failure", "error") else kind] += 1
        if kind == "skipped":
            outcome.reasons[re.sub(r"^.*?: ", "", str(next(iter(case)).get("message")))] += 1
        elif kind != "passed":
            outcome.failures.append(f"{case.get('classname')}::{case.get('name')}")


def run_driver(library: str | None, paths: Sequence[str], seconds: float) -> Outcome | None:
    """The outcome of all paths on a driver; None where it has no device."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        variables = environment(library, folder)
        found = about(variables)
        if found is None:
            return None
        outcome = Outcome(*found)
        selftest = subprocess.run([sys.executable, "-m", "clgrad"], capture_output=True, text=True, env=variables, cwd=ROOT,
                                  timeout=600, check=False)
        if selftest.returncode:
            outcome.crashes.append(f"self-test: status {selftest.returncode}")
        for path in paths:
            begun = time.perf_counter()
            for file in files(path):
                run_path(outcome, file, variables, folder, seconds)
            print(f"{outcome.driver}: {path}: {dict(outcome.counts)} in {time.perf_counter() - begun:.0f} s", flush=True)
        return outcome


def table(outcomes: Sequence[Outcome], paths: Sequence[str]) -> Iterator[str]:
    """The lines of the page's table, with reasons and failures below."""
    yield f"`python -m tests.matrix {' '.join(paths)}` gave:"
    yield ""
    yield "| device | driver | passed | failed | skipped |"
    yield "|---|---|---|---|---|"
    for o in outcomes:
        yield (f"| {o.device} | {o.driver} | {o.counts['passed']:,} | {o.counts['failed'] + len(o.crashes):,} | "
               f"{o.counts['skipped']:,} |")
    for o in outcomes:
        if o.reasons or o.failures or o.crashes:
            yield ""
            yield f"{o.driver}:"
        for line in o.crashes:
            yield f"* ended early: {line}"
        for line in o.failures:
            yield f"* failed: `{line}`"
        for reason, count in o.reasons.most_common():
            yield f"* skipped, {count}: {reason}"


def write(lines: Sequence[str]) -> None:
    """Replaces what stands between the page's two marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([before + BEGIN, *lines, END]) + after, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; the exit status is the number of devices on which something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("paths", nargs="*", help="tests to run; by default those that depend on the device")
    parser.add_argument("--drivers", type=Path, action="append", default=[], help="a folder with .icd files")
    parser.add_argument("--only", help="drivers whose library's name has this part; pip: the PoCL that pip brings")
    parser.add_argument("--smoke", action="store_true", help="the self-test and tests/test_smoke.py only")
    parser.add_argument("--jobs", type=int, default=1, help="drivers that are tried side by side (1)")
    parser.add_argument("--write", action="store_true", help="write the table into docs/devices.md")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for a file (3600)")
    options = parser.parse_args(arguments)
    paths = ("tests/test_smoke.py",) if options.smoke else tuple(options.paths) or SUITE
    chosen: dict[str, str | None] = {**({"pip": None} if survey.version("pocl-binary-distribution") else {}),
                                     **libraries(options.drivers)}
    drivers = {name: library for name, library in chosen.items() if options.only is None or options.only in name}
    with ThreadPoolExecutor(options.jobs) as pool:
        ran = list(pool.map(lambda library: run_driver(library, paths, options.timeout), drivers.values()))
    for name, outcome in zip(drivers, ran, strict=True):
        if outcome is None:
            print(f"{name}: no device that works")
    outcomes = [outcome for outcome in ran if outcome is not None]
    lines = list(table(outcomes, ["--smoke"] if options.smoke else options.paths))
    print("\n".join(lines))
    if options.write:
        write(lines)
    return sum(bool(o.failures or o.crashes) for o in outcomes)


if __name__ == "__main__":
    sys.exit(main())
