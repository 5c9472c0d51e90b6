"""``python -m benchmarks.processes``: sums over two processes, and steps of DistributedDataParallel, beside PyTorch's gloo.

Both libraries run in turns, each in two processes of one thread, which meet in a file. A row is the best of several rounds:
what else goes on in the machine only adds to it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import tempfile
import time
from typing import Any

from benchmarks.models import resnet20

SIZES = {"1,000": (1_000, 200), "262,144 (1 MiB)": (1 << 18, 40), "26,214,400 (100 MiB)": (25 << 20, 6)}


def best(step: Any, rounds: int, ready: Any) -> float:
    """Milliseconds of the fastest round."""
    found = []
    for _ in range(rounds):
        ready()
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return min(found) * 1000


def member(library: str, rank: int, url: str, result: str) -> None:
    """What one of two processes measures."""
    os.environ["POCL_MAX_PTHREAD_COUNT"] = "1"
    t = importlib.import_module(library)
    d = importlib.import_module(f"{library}.distributed")
    t.set_num_threads(1)
    d.init_process_group("gloo", init_method=url, rank=rank, world_size=2)
    rows = {}
    for name, (count, rounds) in SIZES.items():
        x = t.zeros(count)

        def add(x: Any = x) -> None:
            d.all_reduce(x)
            x[-1].item()
        add()
        rows[f"all_reduce of {name} floats"] = best(add, rounds, d.barrier)
    images, labels = t.randn(32, 3, 32, 32), t.randint(0, 10, (32,))
    for name, wrap in (("each for itself", lambda net: net),
                       ("DistributedDataParallel", t.nn.parallel.DistributedDataParallel)):
        net = wrap(resnet20(t))
        optimizer = t.optim.SGD(net.parameters(), 0.1, momentum=0.9)

        def step(net: Any = net, optimizer: Any = optimizer) -> None:
            optimizer.zero_grad()
            loss = t.nn.functional.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            next(net.parameters()).detach().view(-1)[0].item()
        for _ in range(3):
            step()
        rows[f"ResNet-20, 32 pictures a process: {name}"] = best(step, 12, d.barrier)
    if rank == 0:
        with open(result, "w", encoding="utf-8") as file:
            json.dump(rows, file)
    d.destroy_process_group()


def measure(library: str) -> dict[str, float]:
    """The rows of a library, in milliseconds."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        result = os.path.join(folder, "result")
        processes = [context.Process(target=member, args=(library, rank, f"file://{folder}/store", result))
                     for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        with open(result, encoding="utf-8") as file:
            return json.load(file)


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2, help="how often each library is measured")
    turns = parser.parse_args().turns
    found: dict[str, dict[str, float]] = {"clgrad": {}, "torch": {}}
    for _ in range(turns):
        for library, rows in found.items():
            for name, milliseconds in measure(library).items():
                rows[name] = min(rows.get(name, milliseconds), milliseconds)
    print("| what | clgrad, ms | PyTorch, ms | ratio |\n|---|---|---|---|")
    for name, own in found["clgrad"].items():
        print(f"| {name} | {own:.3f} | {found['torch'][name]:.3f} | {own / found['torch'][name]:.2f} |")


if __name__ == "__main__":
    main()
