"""LeNet on the digits learns what the README says, goes on from its checkpoint, and refuses bad values in one line."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import clgrad

ROOT = Path(__file__).resolve().parents[2]


def run(*options):
    for module in ("matplotlib", "tqdm", "sklearn"):
        pytest.importorskip(module)
    return subprocess.run([sys.executable, str(ROOT / "examples" / "train_digits.py"), *map(str, options)], text=True,
                          capture_output=True, env=dict(os.environ, PYTHONPATH=str(ROOT)), timeout=600, check=False)


def accuracy(done):
    assert done.returncode == 0, done.stderr
    return float(re.fullmatch(r"test accuracy: ([\d.]+) %", done.stdout.splitlines()[-1])[1])


def test_it_learns_and_goes_on(tmp_path):
    assert accuracy(run("--output", tmp_path)) >= 97
    for picture in ("curves.png", "predictions.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    checkpoint = clgrad.load(tmp_path / "checkpoint.pth")
    assert len(checkpoint["history"]["train_loss"]) == 20
    again = run("--resume", tmp_path / "checkpoint.pth", "--epochs", 1, "--output", tmp_path / "more")
    assert accuracy(again) >= 96
    assert len(clgrad.load(tmp_path / "more" / "checkpoint.pth")["history"]["train_loss"]) == 21


def test_it_learns_from_the_files_of_mnist(tmp_path):
    """The digits of scikit-learn, each pixel 3x3 of the 28x28, in MNIST's format."""
    data = pytest.importorskip("sklearn.datasets").load_digits()
    images = np.pad(np.kron(data.images * 15, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, chosen in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        for name, values in (("images-idx3", images[chosen]), ("labels-idx1", data.target[chosen].astype(np.uint8))):
            header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
            (raw / f"{part}-{name}-ubyte").write_bytes(header + values.tobytes())
    assert accuracy(run("--mnist", tmp_path, "--epochs", 4, "--output", tmp_path / "run")) >= 85


@pytest.mark.parametrize("options", [("--epochs", "0"), ("--batch-size", "x"), ("--device", "nosuch"), ("--resume", "nosuch"),
                                     ("--seed", "a"), ("--mnist", "/dev/null")])
def test_bad_values_get_one_line(tmp_path, options):
    done = run(*options, "--output", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(rf"train_digits\.py: error: .*{options[0]}.*\n", done.stderr)
