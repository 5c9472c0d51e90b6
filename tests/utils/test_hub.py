"""``hub``: models of a folder's ``hubconf.py``; no code from elsewhere."""

from __future__ import annotations

import sys

import pytest

import clgrad
from clgrad import hub

CONF = '''
import clgrad, helper_of_hub
dependencies = ["clgrad"]
def double(size, bias=False):
    return clgrad.nn.Linear(size, helper_of_hub.TWO * size, bias=bias)
'''


def test_models_of_a_folder(tmp_path):
    (tmp_path / "hubconf.py").write_text(CONF)
    (tmp_path / "helper_of_hub.py").write_text("TWO = 2")
    model = hub.load(str(tmp_path), "double", 3, bias=True, source="local")
    assert model(clgrad.ones(1, 3)).shape == (1, 6) and model.bias is not None
    assert str(tmp_path) not in sys.path
    with pytest.raises(RuntimeError, match="Cannot find callable triple"):
        hub.load(tmp_path, "triple", source="local")
    with pytest.raises(FileNotFoundError):
        hub.load(str(tmp_path / "nowhere"), "double", source="local")
    (tmp_path / "hubconf.py").write_text("dependencies = ['no_such_module']")
    with pytest.raises(RuntimeError, match="Missing dependencies: no_such_module"):
        hub.load(str(tmp_path), "double", source="local")


def test_no_code_from_elsewhere():
    for call in (lambda: hub.load("owner/name", "model"), lambda: hub.list("owner/name"), lambda: hub.help("a/b", "m")):
        with pytest.raises(RuntimeError, match="does not fetch and run code"):
            call()
    with pytest.raises(ValueError, match="Unknown source"):
        hub.load(".", "model", source="web")
