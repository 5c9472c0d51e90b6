"""Telling PoCL the name of the processor where its own would fail, or make slow code.

PoCL asks LLVM for the processor's name and compiles kernels for it, together with built-in functions that it carries
compiled for some of Intel's processors, the fitting ones chosen by what the processor can do. That goes wrong on AMD's:

* A processor that came after LLVM (Zen 5, for the LLVM 14 of pip's PoCL) is called "generic", a name that the compiler
  then refuses: nothing compiles (https://github.com/pocl/pocl/issues/1049).
* For one that is known LLVM inlines none of the built-in functions, as those are compiled for another, and a ``vload8``
  becomes a call. Pointwise kernels take three times as long; vectors of 512 bits are handed over in other registers than
  expected.

Both are well where kernels are compiled for the processor that the built-in functions are for. Before PoCL 5, which reads
``POCL_LLVM_CPU_NAME``, only the driver's own record of the device can say so: it holds a pointer to the name.

This file imports nothing of clgrad: the processes that try drivers out run it by its path.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import struct
from pathlib import Path

# The processors of PoCL's built-in functions and the flags (of /proc/cpuinfo) that each needs; PoCL takes the last that fits.
_BUILT_IN = (("x86-64", ""), ("core2", "ssse3 cx16"), ("penryn", "sse4_1 cx16"), ("sandybridge", "avx cx16 popcnt"),
             ("ivybridge", "avx cx16 popcnt f16c"), ("bdver1", "avx cx16 popcnt xop fma4"),
             ("haswell", "avx avx2 cx16 popcnt abm f16c fma bmi1 bmi2"), ("skylake-avx512", "avx512f"))
_RECORD = 2048  # bytes of PoCL's record of a device in which the pointer is looked for (it is at 640 in PoCL 3.0)


def target_of(handle: object) -> str:
    """The processor that a device of PoCL compiles for, after telling it a better one where that is necessary."""
    # "... HSTR: pthread-x86_64-unknown-linux-gnu-znver3"
    found = re.search(r"HSTR: \w+-x86_64-[a-z]+-linux-gnu-(\S+)", handle.version)  # type: ignore[attr-defined]
    if found is None:
        return ""
    name = found[1]
    if name == "generic" or name.startswith("znver"):
        with contextlib.suppress(OSError):
            better = built_in_for(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
            if _tell(handle.int_ptr, name, better):  # type: ignore[attr-defined]
                return better
    return name


def built_in_for(cpuinfo: str) -> str:
    """The processor for which the built-in functions are compiled that PoCL takes on a machine."""
    flags = set(cpuinfo.partition("\nflags")[2].partition("\n")[0].split())
    return [name for name, needed in _BUILT_IN if flags.issuperset(needed.split())][-1]


def _tell(record: int, name: str, better: str) -> bool:
    """Lets the pointers to ``name`` in a driver's record of a device point to ``better``; whether there was one."""
    sought, found = name.encode() + b"\0", False
    memory = os.open("/proc/self/mem", os.O_RDONLY)  # reads what may not be there without harm
    try:
        words = os.pread(memory, _RECORD, record)
        for place in range(0, len(words) - 7, 8):
            (pointer,) = struct.unpack_from("=Q", words, place)
            with contextlib.suppress(OSError, OverflowError):
                if os.pread(memory, len(sought), pointer) == sought:
                    ctypes.c_void_p.from_address(record + place).value = _lasting(better)
                    found = True
    finally:
        os.close(memory)
    return found


def _lasting(name: str) -> int:
    """The address of a string that is never freed: the driver may read it until the process ends."""
    duplicate = ctypes.CDLL(None).strdup
    duplicate.restype, duplicate.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    return duplicate(name.encode())
