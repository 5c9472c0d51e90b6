"""Kernels with a fault each, run on Oclgrind to show that the checks can fail: ``python -m tests.oclgrind.planted NAME``."""

from __future__ import annotations

import sys

import numpy as np
import pyopencl as cl

KERNELS = {
    "sound": "y[get_global_id(0)] = x[get_global_id(0)];",
    "beyond": "y[get_global_id(0) + 1] = x[get_global_id(0)];",
    "race": "y[get_global_id(0) / 2] = x[get_global_id(0)] + get_global_id(0);",
    "uninitialised": "local float t[8]; y[get_global_id(0)] = t[get_local_id(0)];",
    "divergent": "if (get_local_id(0) < 3) barrier(CLK_LOCAL_MEM_FENCE); y[get_global_id(0)] = x[get_global_id(0)];",
}


def main(name: str) -> None:
    device = next(d for p in cl.get_platforms() if p.name == "Oclgrind" for d in p.get_devices())
    context = cl.Context([device])
    queue = cl.CommandQueue(context)
    source = f"kernel void planted(global const float *x, global float *y) {{ {KERNELS.get(name, '')} }}"
    kernel = cl.Kernel(cl.Program(context, source).build(options=["-O0"], cache_dir=False), "planted")
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    x, y = (cl.Buffer(context, flags, hostbuf=np.arange(8, dtype=np.float32)) for _ in range(2))
    kernel.set_args(x, y)
    if name == "call":  # a call that the API forbids
        try:
            cl.enqueue_nd_range_kernel(queue, kernel, (8,), (3,))
        except cl.Error:
            return
    cl.enqueue_nd_range_kernel(queue, kernel, (8,), (8,))
    queue.finish()


if __name__ == "__main__":
    main(sys.argv[1])
