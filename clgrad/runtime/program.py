"""From a file of ``cl_kernels`` and a set of macros to a built program."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from clgrad.errors import BuildError
from clgrad.runtime.limits import Limits
from clgrad.runtime.opencl import cl

_PACKAGE = Path(__file__).resolve().parents[1]
# An installed clgrad carries the sources as the package data of clgrad._cl; a checkout has them next to clgrad/.
SOURCES = _PACKAGE / "_cl" if (_PACKAGE / "_cl").is_dir() else _PACKAGE.parent / "cl_kernels"

LARGEST_GROUP = 256  # LOCAL of the kernels' GPU forms, on devices that allow as many

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"[ \t]*$', re.MULTILINE)


@cache
def source_text(file: str) -> str:
    """The text of a file in ``cl_kernels`` with its ``#include "x.clh"`` lines replaced by those files."""
    path = SOURCES / file
    if not path.is_file():
        raise BuildError(f"kernel source {file} not found in {SOURCES}: the installation of clgrad is incomplete")
    return _INCLUDE.sub(lambda match: source_text(match[1]), path.read_text(encoding="utf-8"))


def assemble(file: str, macros: Mapping[str, object], prelude: str, limits: Limits) -> str:
    """The whole source of a program: macros, prelude (generated code), file; with the device's quirks before it."""
    defines = {"DEVICE_CPU": int(limits.items_are_threads), **({"FP64": 1} if limits.fp64 else {}),
               **({} if limits.items_are_threads else {"LOCAL": limits.group(LARGEST_GROUP)}),
               **({"CLANG_VECTORS": 1} if limits.is_pocl and limits.is_cpu else {}), **macros}
    lines = [f"#define {name} {value}" for name, value in defines.items()]
    if limits.fp64:
        lines.insert(0, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable")
    quirks = quirks_of(limits)
    return "\n".join([*quirks.before, *lines, prelude, source_text(file), ""])


class Quirks(NamedTuple):
    """What a driver needs for every program: options of its compiler, lines before the source."""

    options: tuple[str, ...] = ("-w",)
    before: tuple[str, ...] = ()


@cache
def quirks_of(limits: Limits) -> Quirks:
    """All known quirks of compilers live here.

    * PoCL may have to be told for which processor it compiles; see ``processor.py``. Its cache goes by the name that it
      found itself, so the source says the other.
    * PoCL 3 reads a megabyte of declarations before every program; see ``builtins.clh``, which it reads instead.
    """
    options, before = Quirks()
    if limits.is_pocl:
        before = (f"// for {limits.target}",)
    if limits.is_pocl and limits.driver.startswith("3."):
        options, before = (*options, "-D_OPENCL_H_"), (source_text("builtins.clh"), *before)
    return Quirks(options, before)


def build(context: Any, device: Any, file: str, macros: Mapping[str, object], prelude: str, limits: Limits) -> Any:
    """A built ``pyopencl.Program``; BuildError with file, macros and the compiler's log where it fails."""
    text = assemble(file, macros, prelude, limits)
    try:
        return _compiled(context, device, text, limits)
    except cl.Error as error:
        if limits.is_pocl:
            # The entry of PoCL's cache may be damaged. Another text has another entry.
            with contextlib.suppress(cl.Error):
                built = _compiled(context, device, f"{text}typedef int compiled_again_by_{os.getpid()};\n", limits)
                _warn_of_damage()
                return built
        listing = ", ".join(f"{name}={value}" for name, value in macros.items()) or "none"
        raise BuildError(f"{file} does not compile on {limits.name} ({limits.platform}, driver {limits.driver}).\n"
                         f"macros: {listing}\n{prelude}\nlog:\n{error}") from error


def _compiled(context: Any, device: Any, text: str, limits: Limits) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compilers' remarks on correct code are not the user's business
        # The drivers that compile slowly keep caches of their own: PoCL, NVIDIA, Intel, Mesa.
        built = cl.Program(context, text).build(list(quirks_of(limits).options), [device], cache_dir=False)
    if not built.kernel_names:
        raise cl.RuntimeError("the compiled program holds no kernels")
    return built


@cache
def _warn_of_damage() -> None:
    """Once in a process."""
    warnings.warn("PoCL's folder of compiled kernels is damaged: kernels that it could not read were compiled again. Delete "
                  "the folder (~/.cache/pocl, or what POCL_CACHE_DIR names)", RuntimeWarning, stacklevel=2)
