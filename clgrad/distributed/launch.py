"""``python -m clgrad.distributed.launch``: the launcher's old name, with the old way to tell a process its number.

``--use-env`` is accepted; without it each program gets the argument ``--local-rank=N`` as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from clgrad.distributed import run


def main(arguments: Sequence[str] | None = None) -> int:
    """Starts the processes; the exit status."""
    options = run.parser().parse_args(arguments)
    return run.launch(options, local_rank_argument=not options.use_env)


if __name__ == "__main__":
    sys.exit(main())
