"""Trains an LSTM to write the Zen of Python, character by character.

    python examples/char_lstm.py [--device cpu] [--steps 300] [--seed 0] [--output runs/char_lstm]

Writes loss.png and model.pth into the folder --output, prints what the network writes when it is given the first line,
and how many characters of the text it foretells. The text is that of Python's module ``this``.
"""

import codecs
import contextlib
import importlib
import io
import time

from common import Parser, plot_loss, prepare
from tqdm import tqdm

import clgrad as torch
from clgrad import nn

BATCH, LENGTH = 16, 64


class CharLSTM(nn.Module):
    """Characters as numbers (batch, steps) to scores of the next ones (batch, steps, characters)."""

    def __init__(self, characters, width=128):
        super().__init__()
        self.embedding = nn.Embedding(characters, 32)
        self.lstm = nn.LSTM(32, width, batch_first=True)
        self.head = nn.Linear(width, characters)

    def forward(self, x, state=None):
        hidden, state = self.lstm(self.embedding(x), state)
        return self.head(hidden), state


def zen():
    """The Zen of Python, which its module prints when it is imported and keeps in a simple cipher."""
    with contextlib.redirect_stdout(io.StringIO()):
        this = importlib.import_module("this")
    return codecs.decode(this.s, "rot13")


def train(model, data, steps, device):
    """Steps on windows from random places of the text; returns their losses."""
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    with tqdm(range(steps), unit="step") as bar:
        for _ in bar:
            starts = torch.randint(0, len(data) - LENGTH, (BATCH,)).tolist()
            windows = torch.stack([data[start:start + LENGTH + 1] for start in starts]).to(device)
            optimizer.zero_grad()
            scores, _ = model(windows[:, :-1])
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), windows[:, 1:].flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return losses


@torch.no_grad()
def write(model, start, count):
    """``start`` and the ``count`` likeliest characters after it, one after the other."""
    written = start.tolist()
    scores, state = model(start.unsqueeze(0))
    for _ in range(count):
        written.append(scores[0, -1].argmax().item())
        scores, state = model(torch.tensor([[written[-1]]], device=start.device), state)
    return written


@torch.no_grad()
def accuracy(model, data):
    """The share of the text's characters that the network foretells, having read all before them."""
    scores, _ = model(data[:-1].unsqueeze(0))
    return (scores[0].argmax(1) == data[1:]).float().mean().item()


def main():
    options = Parser("Train an LSTM to write the Zen of Python.", "runs/char_lstm", 300).parse_args()
    device = prepare(options)
    text = zen()
    characters = sorted(set(text))
    data = torch.tensor([characters.index(c) for c in text])
    model = CharLSTM(len(characters)).to(device)

    began = time.perf_counter()
    losses = train(model, data, options.steps, device)
    seconds = time.perf_counter() - began

    model.eval()
    data = data.to(device)
    first_line = text.index("\n") + 1
    print("".join(characters[n] for n in write(model, data[:first_line], 200)))
    plot_loss(losses, options.output / "loss.png")
    torch.save(model.state_dict(), options.output / "model.pth")
    print(f"trained {options.steps} steps in {seconds:.1f} s on {device}")
    print(f"wrote {options.output / 'loss.png'}, {options.output / 'model.pth'}")
    print(f"accuracy: {100 * accuracy(model, data):.1f} %")


if __name__ == "__main__":
    main()
