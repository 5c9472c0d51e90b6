"""``python -m clgrad.compat program.py arguments...``: a PyTorch program on clgrad."""

from __future__ import annotations

import importlib.machinery
import os
import runpy
import sys
from types import ModuleType

from clgrad.compat import install

USAGE = "usage: python -m clgrad.compat program.py [argument ...]\n       python -m clgrad.compat -m module [argument ...]"


def run(path: str) -> None:
    """Runs a file as the main program."""
    if os.path.isdir(path):
        runpy.run_path(path, run_name="__main__")
        return
    main = ModuleType("__main__")
    main.__file__ = path
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    vars(main)["__builtins__"] = __builtins__
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    # The program's module replaces this one: pickles and child processes look for its classes there.
    sys.modules["__main__"] = main
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    exec(code, vars(main))


def main() -> int:
    """Reads the command line; exit status 2 where it names no program."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    install()
    if arguments[0] == "-m":
        if len(arguments) < 2:
            print(USAGE, file=sys.stderr)
            return 2
        sys.argv[:] = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    if not os.path.exists(arguments[0]):
        print(f"clgrad.compat: error: there is no file {arguments[0]}", file=sys.stderr)
        return 2
    sys.argv[:] = arguments
    run(arguments[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
