"""The exceptions that clgrad adds to Python's own.

Wrong arguments raise what PyTorch raises (``RuntimeError``, ``TypeError``, ``ValueError``, ``IndexError``). The
classes below say that something is wrong with the machine, with a matrix, or with indices that only a kernel sees; all
of them are ``RuntimeError``.
"""

import warnings
from functools import cache


@cache
def warn_once(message: str, stacklevel: int = 3) -> None:
    """A ``UserWarning`` that a process sees once, at the line ``stacklevel - 1`` calls above the caller's."""
    warnings.warn(message, stacklevel=stacklevel + 1)


class DeviceError(RuntimeError):
    """An OpenCL driver reported an error, or the device cannot do what was asked."""


class NoDeviceError(DeviceError):
    """There is no OpenCL device, or none of the name that was asked for."""


class LinkerMissingError(DeviceError):
    """PoCL cannot link kernels: neither the C linker ``ld`` nor clgrad's own works."""


class BuildError(DeviceError):
    """A kernel did not compile. The message shows the file, its macros and the compiler's log."""


class OutOfMemoryError(DeviceError):
    """The device's memory is full, or one allocation is larger than the device allows."""


class DeviceLostError(DeviceError):
    """A device stopped working: a kernel crashed it, it was unplugged, its driver was reset. Its tensors are gone."""


class ForkedProcessError(DeviceError):
    """A forked child used OpenCL. Drivers do not survive a fork: use ``spawn`` or ``forkserver``."""

    def __init__(self, message: str = "this process was forked after OpenCL was used, and drivers do not survive a fork; "
                                      "start processes with multiprocessing's 'spawn' or 'forkserver' method"):
        super().__init__(message)


class BadIndexError(IndexError, RuntimeError):
    """A kernel met an index that is out of range. PyTorch raises one or the other, as its operator has it; this is both."""


class LinAlgError(RuntimeError):
    """A matrix is singular, not positive definite, or its decomposition did not converge: ``linalg.LinAlgError``."""
