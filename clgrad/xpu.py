"""``torch.xpu``: there is no such device here; OpenCL GPUs, whoever made them, are ``cuda``."""

from clgrad.absent_device import *  # noqa: F403
