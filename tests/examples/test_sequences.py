"""The examples of sequence models run, learn, and leave what they promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(name, folder, *options):
    for module in ("matplotlib", "tqdm"):
        pytest.importorskip(module)
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    return subprocess.run([sys.executable, str(ROOT / "examples" / name), "--output", str(folder), *options],
                          capture_output=True, text=True, env=environment, timeout=300, check=False)


# (example, steps, the number that it prints last, what it has to be at least)
EXAMPLES = [("char_lstm.py", 80, "accuracy", 60.0), ("gpt.py", 20, "reversed without a mistake", 0.0)]


@pytest.mark.parametrize(("name", "steps", "word", "least"), EXAMPLES, ids=[e[0] for e in EXAMPLES])
def test_example(tmp_path, name, steps, word, least):
    done = run(name, tmp_path, "--steps", str(steps))
    assert done.returncode == 0, done.stderr
    reached = re.search(rf"^{word}: ([\d.]+) %$", done.stdout, re.MULTILINE)
    assert reached and float(reached[1]) >= least
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG") and (tmp_path / "model.pth").stat().st_size > 1000
    losses = [float(x) for x in re.findall(r"loss=([\d.]+)", done.stderr)]
    assert losses[-1] < 0.95 * losses[0]


def test_an_error_is_one_line(tmp_path):
    done = run("gpt.py", tmp_path, "--steps", "0")
    assert done.returncode == 2
    assert done.stderr.startswith("gpt.py: error: ") and done.stderr.count("\n") == 1
