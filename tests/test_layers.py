"""The layer rule of docs/architecture.md: imports point down, at the top of files that stay short."""

from __future__ import annotations

import ast
import configparser
import re
from pathlib import Path

import pytest

import clgrad

ROOT = Path(clgrad.__file__).parent
FILES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.rglob("*.py")) if "_cl" not in path.parts}

# From the ground up. A module may import its own floor and those below; the longest matching name counts.
FLOORS = [
    ["errors", "dtypes", "shapes", "formats", "spec", "dlpack", "version", "optional", "trees"],
    ["runtime"],
    ["kernels"],
    ["autograd"],
    ["ops"],
    ["from_data", "creation", "sampling", "storage", "printing", "host", "history",
     "conversion", "tensor", "exchange", "typed", "info", "windows", "wrappers"],
    ["nn", "optim", "utils", "serialization", "pickles", "rebuilding", "locations", "cuda", "vision", "multiprocessing",
     "autograd.functional", "autograd.forward_ad", "autograd.profiler", "func", "batching", "complexes", "sparse", "random",
     "settings", "backends", "accelerator", "mps", "xpu", "cpu", "signal",
     "testing", "types", "overrides", "compiler", "jit", "downloads", "hub", "archives", "allowed", "objects",
     "safetensors", "profiler", "_C", "fx", "linalg", "masked", "special", "amp", "distributions", "onnx", "distributed",
     "absent_device", "mtia", "checks", "futures", "quasirandom", "return_types", "fft", "symbolic",
     "library", "__future__"],
    ["", "__main__", "compat", "doctor", "tune"],
]
# Libraries stand side by side: of each other they see the public names only.
PUBLIC = {"nn": {"nn", "nn.functional", "nn.init", "nn.parameter", "nn.modules", "nn.utils"}, "optim": {"optim"},
          "utils": {"utils", "utils.data"}, "serialization": {"serialization"}, "cuda": {"cuda"},
          "vision": {"vision"}, "sparse": {"sparse"}, "amp": {"amp"},
          "distributed": {"distributed", "distributed.algorithms"}}
# (file, module): imports inside functions, each with its reason in the file.
LATE_IMPORTS: set[tuple[str, str]] = set()
LONGEST = 500
# Files that were longer when the rule was written: they may not grow beyond these lengths.
LONGER = {"nn/modules/module.py": 515, "optim/lr_scheduler.py": 540}
DEVICE_CODE = re.compile(r"__kernel\b|__global\b|\bget_(global|local|group)_id\s*\(")
# ``storage`` is PyTorch's method; what a tensor stands on is its ``memory``.
STORAGE_AS_ATTRIBUTE = re.compile(r"\b(?!clgrad\b|torch\b|runtime\b|self\b)\w+\.storage\b(?!\()")
# Preludes are generated; the trial that finds out whether a driver works must not depend on the rest of the package.
MAY_HOLD_DEVICE_CODE = {"kernels/elementwise.py", "kernels/optimizer.py"}


def module_of(file: str) -> str:
    """``ops/views.py`` as ``ops.views``; a package's ``__init__`` as the package."""
    return file.removesuffix(".py").replace("/", ".").removesuffix("__init__").rstrip(".")


MODULES = {module_of(file) for file in FILES}


def imports(tree: ast.AST) -> list[tuple[str, bool]]:
    """The modules that a file imports, with whether that happens inside a function."""
    inside = {id(node) for function in ast.walk(tree) if isinstance(function, (ast.FunctionDef, ast.Lambda))
              for node in ast.walk(function)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name.name, id(node) in inside) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide what they name"
            for name in node.names:
                full = f"{node.module}.{name.name}"
                known = full.startswith("clgrad.") and full.removeprefix("clgrad.") in MODULES
                found.append((full if known else str(node.module), id(node) in inside))
    return found


def floor_of(module: str) -> int:
    parts = module.split(".")
    prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next(number for prefix in prefixes for number, names in enumerate(FLOORS) if prefix in names)


def violations(file: str, source: str) -> list[str]:
    """What breaks the rule in a file."""
    own = module_of(file)
    found = []
    for name, late in imports(ast.parse(source)):
        if late and (file, name) not in LATE_IMPORTS:
            found.append(f"{file} imports {name} inside a function")
        if name.split(".")[0] in ("pyopencl", "pocl_binary_distribution") and not own.startswith("runtime"):
            found.append(f"{file} imports {name}: only clgrad.runtime may")
        if name.split(".")[0] == "torch":
            found.append(f"{file} imports torch")
        if name != "clgrad" and not name.startswith("clgrad."):
            continue
        target = name.removeprefix("clgrad").lstrip(".")
        if floor_of(target) > floor_of(own):
            found.append(f"{file} imports {name}, which is above it")
        head = target.split(".")[0]
        if head in PUBLIC and own.split(".")[0] in PUBLIC and own.split(".")[0] != head and (
                target not in PUBLIC[head]):
            found.append(f"{file} imports the inside of another library: {name}")
    strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)
               and isinstance(node.value, str)]
    if file not in MAY_HOLD_DEVICE_CODE and any(DEVICE_CODE.search(text) for text in strings):
        found.append(f"{file} holds OpenCL C: that lives in cl_kernels/")
    if STORAGE_AS_ATTRIBUTE.search(source):
        found.append(f"{file} uses a tensor's storage as an attribute: it is called memory")
    lines = source.count("\n")
    if lines > LONGER.get(file, LONGEST):
        found.append(f"{file} has {lines} lines, more than {LONGER.get(file, LONGEST)}")
    return found


@pytest.mark.parametrize("file", FILES)
def test_every_file_keeps_the_rule(file):
    assert violations(file, FILES[file].read_text(encoding="utf-8")) == []


def test_no_module_imports_itself_in_a_circle():
    """Among the modules that are no packages: a package's ``__init__`` collects names for others."""
    graph = {}
    for file, path in FILES.items():
        targets = {name.removeprefix("clgrad.") for name, _ in imports(ast.parse(path.read_text(encoding="utf-8")))
                   if name.startswith("clgrad.")}
        graph[module_of(file)] = {t for t in targets if t in MODULES and not file.endswith("__init__.py")}
    done: set[str] = set()
    while True:
        ready = {m for m, needs in graph.items() if m not in done and needs <= done}
        if not ready:
            break
        done |= ready
    assert set(graph) - done == set()


@pytest.mark.parametrize(("file", "source", "complaint"), [
    ("kernels/gemm.py", "from clgrad.ops import views\n", "above"),
    ("kernels/gemm.py", "from clgrad.tensor import Tensor\n", "above"),
    ("autograd/engine.py", "from clgrad.ops.copying import cast\n", "above"),
    ("dtypes.py", "from clgrad.runtime import device\n", "above"),
    ("optim/sgd.py", "import clgrad\n", "above"),
    ("nn/parameter.py", "from clgrad.optim.optimizer import Optimizer\n", "inside of another"),
    ("ops/views.py", "def f():\n    from clgrad.shapes import Size\n", "inside a function"),
    ("ops/views.py", "import pyopencl as cl\n", "only clgrad.runtime"),
    ("ops/views.py", "import torch\n", "torch"),
    ("kernels/gemm.py", "S = '__kernel void f() {}'\n", "OpenCL C"),
    ("kernels/gemm.py", "\n" * 501, "501 lines"),
    ("ops/views.py", "buffer = x.storage.buffer\n", "memory"),
])
def test_a_planted_violation_is_found(file, source, complaint):
    found = violations(file, source)
    assert len(found) == 1
    assert complaint in found[0]


def test_what_is_allowed_is_not_reported():
    source = "import numpy as np\nfrom clgrad.runtime import Device\nfrom clgrad import dtypes\n"
    assert violations("kernels/gemm.py", source) == []


def test_every_package_is_in_the_wheel():
    source = ROOT.parent / "setup.cfg"
    if not source.exists():
        pytest.skip("this is an installed clgrad, not its sources")
    settings = configparser.ConfigParser()
    settings.read(source)
    listed = settings["options"]["packages"].split()
    found = {".".join(path.parent.relative_to(ROOT.parent).parts) for path in ROOT.rglob("__init__.py")} - {"clgrad._cl"}
    assert set(listed) == found | {"clgrad._cl"}
