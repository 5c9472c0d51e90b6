"""The pages of the documentation that are made from the code are up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path

GENERATOR = Path(__file__).parent.parent / "docs" / "generate.py"


def _generator():
    spec = importlib.util.spec_from_file_location("generate", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_operators_is_up_to_date():
    generator = _generator()
    assert generator.PAGE.read_text(encoding="utf-8") == generator.text(), "run: python -m docs.generate"


def test_every_operator_says_what_it_does():
    generator = _generator()
    silent = [name for name, function in {**generator.METHODS, **generator.FUNCTIONS}.items()
              if generator.public(name) and not generator.sentence(function)]
    assert silent == []


def test_what_has_no_gradient_exists():
    generator = _generator()
    assert "argmax" in generator.NOT_DIFFERENTIABLE
    assert {n for n in generator.NOT_DIFFERENTIABLE if n in generator.FUNCTIONS and n in generator.REGISTRY.pointwise} <= {
        n for n, row in generator.REGISTRY.pointwise.items() if not row.derivatives}
