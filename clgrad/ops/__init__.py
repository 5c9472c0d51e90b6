"""The operators: dtype and shape rule, forward and gradient of each, side by side.

``registry.FUNCTIONS`` holds every public operator by name; pointwise ones are rows of ``table.py``.
"""
