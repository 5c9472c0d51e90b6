"""Launchers: one module for each file of ``cl_kernels``, which turns shapes into macros, arguments and an NDRange.

A launcher's ``plan(...)`` does all work that depends on shapes, strides and dtypes, once; the plan is then called with
buffers and offsets. Launchers know nothing of tensors and gradients.
"""
