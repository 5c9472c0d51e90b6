"""All cases, by form and file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.oclgrind import cases, cases_of_layers  # noqa: F401  (they mark the cases)
from tests.oclgrind.marks import CASES


def of_form(form: str, files: list[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """The cases of one form of the device code, of all files or the given ones."""
    for file, wanted, case in CASES:
        if wanted in ("both", form) and (not files or file in files):
            yield file, case
