"""clgrad and PyTorch side by side: ``python -m benchmarks``."""
