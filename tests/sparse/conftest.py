"""PyTorch says once in a process that invariants are not checked, and that compressed layouts are in beta."""

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "sparse":
            item.add_marker(pytest.mark.filterwarnings("ignore:Sparse .*:UserWarning"))
