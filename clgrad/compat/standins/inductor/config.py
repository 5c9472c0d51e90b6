"""``torch._inductor.config``: settings that programs change."""

import sys

from clgrad.compat.standins.compiler_settings import group, patching

coordinate_descent_tuning = coordinate_descent_check_all_directions = max_autotune = max_autotune_gemm = freezing = False
conv_1x1_as_mm = force_fuse_int_mm_with_mul = use_mixed_mm = epilogue_fusion = shape_padding = benchmark_kernel = False
fx_graph_cache = fx_graph_remote_cache = False
compile_threads = 1
triton = group(unique_kernel_names=True, cudagraphs=False, cudagraph_trees=False, descriptive_names="original_aten")
cpp = group(threads=-1, simdlen=None, enable_kernel_profile=False)
trace = group(enabled=False)
patch = patching(sys.modules[__name__])
