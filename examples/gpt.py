"""Trains a small GPT (Radford et al. 2019) to write words backwards.

    python examples/gpt.py [--device cpu] [--steps 300] [--seed 0] [--output runs/gpt]

A line is a word of random letters, an arrow, and the word backwards: ``abcde>edcba``. Writes loss.png and model.pth into
the folder --output, and prints how many of 200 new words the network reverses without a mistake.
"""

import math
import time

from common import Parser, plot_loss, prepare
from tqdm import tqdm

import clgrad as torch
from clgrad import nn

LETTERS = "abcdefghij>"
WORD = 6
BATCH = 64


class Block(nn.Module):
    """Causal self-attention and a feed-forward network, each on a normalised input and added to it."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def attention(self, x):
        batch, steps, width = x.shape
        q, k, v = (t.view(batch, steps, self.heads, -1).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        seen = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.projection(seen.transpose(1, 2).reshape(batch, steps, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


class GPT(nn.Module):
    """Letters as numbers (batch, steps) to scores of the next ones (batch, steps, letters)."""

    def __init__(self, letters, longest, width=64, heads=4, layers=2):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(longest, width)
        self.blocks = nn.Sequential(*[Block(width, heads) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, letters)

    def forward(self, x):
        hidden = self.letters(x) + self.places(torch.arange(x.shape[1], device=x.device))
        return self.head(self.norm(self.blocks(hidden)))


def lines(count):
    """Random words, the arrow, the words backwards: (count, 2 * WORD + 1) numbers of letters."""
    words = torch.randint(0, len(LETTERS) - 1, (count, WORD))
    arrow = torch.full((count, 1), len(LETTERS) - 1)
    return torch.cat([words, arrow, words.flip(1)], dim=1)


def train(model, steps, device):
    """Steps on new lines; only what stands behind the arrow counts. Returns the losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    rise = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps)))
    losses = []
    with tqdm(range(steps), unit="step") as bar:
        for _ in bar:
            batch = lines(BATCH).to(device)
            optimizer.zero_grad()
            scores = model(batch[:, :-1])[:, WORD:]
            loss = nn.functional.cross_entropy(scores.flatten(0, 1), batch[:, WORD + 1:].flatten())
            loss.backward()
            optimizer.step()
            rise.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return losses


@torch.no_grad()
def reverse(model, questions):
    """The letters that the network writes behind the arrow, the likeliest one after the other."""
    written = questions
    for _ in range(WORD):
        chosen = model(written)[:, -1].argmax(dim=1, keepdim=True)
        written = torch.cat([written, chosen], dim=1)
    return written


def main():
    options = Parser("Train a small GPT to write words backwards.", "runs/gpt", 300).parse_args()
    device = prepare(options)
    model = GPT(len(LETTERS), 2 * WORD + 1).to(device)

    began = time.perf_counter()
    losses = train(model, options.steps, device)
    seconds = time.perf_counter() - began

    model.eval()
    new = lines(200).to(device)
    written = reverse(model, new[:, :WORD + 1])
    right = (written == new).all(dim=1).float().mean().item()
    for line in written[:3].tolist():
        print("".join(LETTERS[n] for n in line))
    plot_loss(losses, options.output / "loss.png")
    torch.save(model.state_dict(), options.output / "model.pth")
    print(f"trained {options.steps} steps in {seconds:.1f} s on {device}")
    print(f"wrote {options.output / 'loss.png'}, {options.output / 'model.pth'}")
    print(f"reversed without a mistake: {100 * right:.1f} %")


if __name__ == "__main__":
    main()
