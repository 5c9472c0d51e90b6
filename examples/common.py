"""What the examples share: arguments with errors of one line, the device, the folder for results, a curve."""

import argparse
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import clgrad as torch


class Parser(argparse.ArgumentParser):
    """A parser with the options of every example, whose errors are one line. ``steps``: where there are epochs, None."""

    def __init__(self, description, output, steps=None):
        super().__init__(description=description)
        self.add_argument("--device", default=None, help="cpu, gpu, cuda:N or cl:N; default: clgrad's default device")
        if steps is not None:
            self.add_argument("--steps", type=positive, default=steps, help="steps of the optimizer")
        self.add_argument("--seed", type=int, default=0, help="of initial values and order")
        self.add_argument("--output", type=Path, default=Path(output), help="folder for the results")

    def error(self, message):
        fail(message)


def positive(text):
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text}")
    return int(text)


def fail(message):
    """A bad value: one line, exit code 2."""
    print(f"{Path(sys.argv[0]).name}: error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(2)


def prepare(options):
    """The device, after a first computation on it; the folder for the results is made, the seed is set."""
    try:
        device = torch.device(options.device) if options.device else torch.get_default_device()
        torch.zeros(1, device=device).add_(1).item()
    except RuntimeError as error:
        fail(f"--device: {error}")
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--output: {error}")
    torch.manual_seed(options.seed)
    return device


def plot_loss(losses, path):
    """The loss of each step."""
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.plot(range(1, len(losses) + 1), losses)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
