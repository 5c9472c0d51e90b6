"""What can go wrong between a program and an ONNX file."""

from __future__ import annotations


class OnnxError(RuntimeError):
    """A file that cannot be read, or a graph that cannot be run; the message names the node."""


class OnnxExporterError(RuntimeError):
    """A model that cannot be written as an ONNX graph."""


class UnsupportedOperatorError(OnnxExporterError):
    """The model calls an operator for which there is no translation."""
