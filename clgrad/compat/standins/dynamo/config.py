"""``torch._dynamo.config``: settings that programs change."""

import sys

from clgrad.compat.standins.compiler_settings import patching

suppress_errors = verbose = capture_scalar_outputs = capture_dynamic_output_shape_ops = optimize_ddp = False
cache_size_limit = recompile_limit = 8
accumulated_cache_size_limit = accumulated_recompile_limit = 256
inline_inbuilt_nn_modules = assume_static_by_default = automatic_dynamic_shapes = disable = True
skip_fwd_side_effects_in_bwd_under_checkpoint = error_on_recompile = guard_nn_modules = dynamic_shapes = False
patch = patching(sys.modules[__name__])
