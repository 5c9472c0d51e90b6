"""Modules that only programs written for PyTorch need."""
