"""The examples of lines, pictures and generators run, learn, and leave what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import clgrad
from clgrad.vision import models

ROOT = Path(__file__).resolve().parents[2]


def run(name, *options):
    for module in ("matplotlib", "tqdm", "PIL", "sklearn"):
        pytest.importorskip(module)
    environment = dict(os.environ, PYTHONPATH=str(ROOT), https_proxy="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    return subprocess.run([sys.executable, str(ROOT / "examples" / name), *map(str, options)], capture_output=True, text=True,
                          env=environment, timeout=300, check=False)


# (example, steps, the number that it prints last, what it has to be at least, its picture)
EXAMPLES = [("linear_regression.py", 60, "variance explained", 90.0, "line.png"),
            ("vae.py", 150, "variance kept", 20.0, "samples.png"), ("gan.py", 20, "average digit", -300.0, "samples.png"),
            ("cifar10.py", 20, "accuracy", 30.0, "predictions.png")]


@pytest.mark.parametrize(("name", "steps", "word", "least", "picture"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_example(tmp_path, name, steps, word, least, picture):
    more = ("--data", tmp_path / "data", "--workers", 1) if name == "cifar10.py" else ()
    done = run(name, "--output", tmp_path, "--steps", steps, *more)
    assert done.returncode == 0, done.stderr
    reached = re.search(rf"^{word}: (-?[\d.]+) %$", done.stdout, re.MULTILINE)
    assert reached and float(reached[1]) >= least, done.stdout
    assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG") and (tmp_path / "loss.png").exists()
    assert clgrad.load(tmp_path / "model.pth")
    losses = [float(x) for x in re.findall(r"loss=([\d.]+)", done.stderr)]
    assert losses[-1] < losses[0]
    assert ("made-up pictures" in done.stdout) == (name == "cifar10.py")


def test_weights_of_pytorch(torch, tmp_path):
    image = pytest.importorskip("PIL.Image")
    image.new("RGB", (300, 280), (200, 30, 10)).save(tmp_path / "red.png")
    model = models.squeezenet1_1(num_classes=4)
    state = {name: torch.tensor(value.tolist()) for name, value in model.state_dict().items()}
    state["classifier.1.bias"] = torch.tensor([0.0, 0.0, 5.0, 1.0])
    torch.save({"state_dict": state}, tmp_path / "weights.pth")
    files = tmp_path / "weights.pth", tmp_path / "red.png"
    done = run("load_pytorch_weights.py", *files, "--model", "squeezenet1_1", "--top", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("class 2: 9") and done.stdout.count("\n") == 2
    bad = run("load_pytorch_weights.py", *files, "--model", "resnet18")
    assert bad.returncode == 2 and bad.stderr.startswith("load_pytorch_weights.py: error: ") and bad.stderr.count("\n") == 1
