"""Lets a device compile and run one kernel, in a process of its own: a driver that does not work may abort it.

``python trial.py DEVICE SOURCE``: the device is a number among all that pyopencl sees, or the name of a platform, whose first
one is meant. Prints a line for each step that it begins, and a line of JSON at the end: ``"ok"``, ``"wrong"`` or
``{"problem": ...}``. ``python trial.py list`` prints all devices as ``[name, platform]``. Run by its path: importing clgrad
would try the driver out again.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
from pathlib import Path
from typing import Any


def step(name: str) -> None:
    """Says what is about to happen, before it can go wrong."""
    print(f"step {name}", flush=True)


def main(which: str, source: str = "") -> object:
    """What is to be printed last."""
    del sys.path[0]  # this folder, whose names are not meant to be found
    step("importing pyopencl")
    numpy, cl = importlib.import_module("numpy"), importlib.import_module("pyopencl")
    step("listing platforms")
    handles = [handle for platform in cl.get_platforms() for handle in platform.get_devices()]
    names = [(handle.name.strip(), handle.platform.name.strip()) for handle in handles]
    if which == "list":
        return names
    handle = handles[int(which) if which.isdigit() else [platform for _, platform in names].index(which)]
    step("compiling a kernel")
    runpy.run_path(str(Path(__file__).with_name("processor.py")))["target_of"](handle)
    context = cl.Context([handle])
    queue = cl.CommandQueue(context)
    try:
        kernel = cl.Kernel(cl.Program(context, source).build(cache_dir=False), "trial")
    except cl.Error as error:
        lines = str(error).splitlines()
        return {"problem": next((line for line in lines if "error:" in line), lines[0])}
    step("running a kernel")
    host = numpy.zeros(8, numpy.int32)
    buffer: Any = cl.Buffer(context, cl.mem_flags.READ_WRITE, host.nbytes)
    kernel.set_args(buffer)
    cl.enqueue_nd_range_kernel(queue, kernel, (8,), (8,))
    cl.enqueue_copy(queue, host, buffer)
    return "ok" if (host == 42).all() else "wrong"


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])), flush=True)
