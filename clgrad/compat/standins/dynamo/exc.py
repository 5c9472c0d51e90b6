"""``torch._dynamo.exc``: errors of a compiler that never runs."""

__all__ = ["InternalTorchDynamoError", "TensorifyScalarRestartAnalysis", "TorchDynamoException", "Unsupported"]


class TorchDynamoException(RuntimeError):
    """The class of them all."""


class InternalTorchDynamoError(TorchDynamoException):
    """Never raised."""


class Unsupported(TorchDynamoException):
    """Never raised."""


class TensorifyScalarRestartAnalysis(TorchDynamoException):
    """Never raised."""
