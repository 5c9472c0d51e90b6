"""``python -m benchmarks [group ...]``: the same work in clgrad and PyTorch, in turns, in one process.

Every row checks first that the results agree. Times are the best of several rounds; the ratio is PyTorch's time over
clgrad's; shares are of the device's own peak, measured at the start with clgrad's product of 1024 and its negation of
16 M numbers.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import defaultdict

import clgrad
from benchmarks.measure import ROUNDS, measure, peaks
from benchmarks.rows import GROUPS


def main() -> int:
    """Prints the report; exit status 1 where PyTorch is not installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="group", help=f"which groups of rows: {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of which the best counts")
    parser.add_argument("--match", default="", help="only rows whose name contains this")
    options = parser.parse_args()
    unknown = [g for g in options.groups if g not in GROUPS]
    if unknown:
        parser.error(f"no group is called {unknown[0]}; there are {', '.join(GROUPS)}")
    try:
        import torch  # noqa: PLC0415  (the reference, which need not be installed otherwise)
    except ImportError:
        print("the benchmarks compare with PyTorch, which is not installed: pip install torch", file=sys.stderr)
        return 1
    device = clgrad.device("cpu").compute
    torch.set_num_threads(device.limits.compute_units)
    flops, bandwidth = peaks()
    print(f"{device.limits.name}, {device.limits.platform}; PyTorch {torch.__version__} with {torch.get_num_threads()} "
          f"threads; peak {flops / 1e9:.0f} GFLOP/s, {bandwidth / 1e9:.0f} GB/s")
    print(f"{'row':<72}{'PyTorch us':>12}{'clgrad us':>12}{'caller us':>12}{'ratio':>8}{'of peak':>9}")
    ratios = defaultdict(list)
    for group in options.groups or GROUPS:
        for row in GROUPS[group]():
            if options.match not in row.name:
                continue
            found = measure(row, torch, options.rounds)
            share = max(row.flops / found.clgrad / flops, row.bytes / found.clgrad / bandwidth)
            print(f"{row.group + ' ' + row.name:<72}{found.reference * 1e6:>12.1f}{found.clgrad * 1e6:>12.1f}"
                  f"{found.host * 1e6:>12.1f}{found.ratio:>8.2f}{f'{share:.0%}' if share else '':>9}", flush=True)
            ratios[row.group].append(found.ratio)
    for group, listed in ratios.items():
        mean = math.exp(sum(map(math.log, listed)) / len(listed))
        print(f"{group}: geometric mean {mean:.2f}, lowest {min(listed):.2f}, of {len(listed)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
