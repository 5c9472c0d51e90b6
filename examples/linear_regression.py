"""Fits a straight line to noisy points.

    python examples/linear_regression.py [--device cpu] [--steps 200] [--seed 0] [--output runs/line]

Writes line.png, loss.png and model.pth into the folder --output, and prints how much of the points' variance the line
explains. The least-squares solution is known: the program compares with it.
"""

import numpy as np
from common import Parser, plot_loss, plt, prepare
from tqdm import tqdm

import clgrad as torch
from clgrad import nn


def points(count):
    """x in [-1, 1], and y = 3 x + 0.5 with noise: two tensors (count, 1)."""
    x = torch.linspace(-1, 1, count).unsqueeze(1)
    return x, 3 * x + 0.5 + 0.3 * torch.randn(count, 1)


def train(model, x, y, steps):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    with tqdm(range(steps), unit="step") as bar:
        for _ in bar:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return losses


def plot_line(x, y, fitted, path):
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.scatter(x, y, s=8)
    axes.plot(x, fitted, color="red")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    options = Parser("Fit a straight line to noisy points.", "runs/line", 200).parse_args()
    device = prepare(options)
    x, y = (t.to(device) for t in points(200))
    model = nn.Linear(1, 1).to(device)
    losses = train(model, x, y, options.steps)

    with torch.no_grad():
        fitted = model(x)
        explained = 1 - ((y - fitted).square().mean() / y.var(correction=0)).item()
    host = [t.cpu().squeeze(1).numpy() for t in (x, y, fitted)]
    slope, height = np.polyfit(host[0], host[1], 1)
    print(f"line: {model.weight.item():.4f} x + {model.bias.item():.4f}; least squares: {slope:.4f} x + {height:.4f}")
    plot_line(*host, options.output / "line.png")
    plot_loss(losses, options.output / "loss.png")
    torch.save(model.state_dict(), options.output / "model.pth")
    print(f"wrote {options.output / 'line.png'}, {options.output / 'loss.png'}, {options.output / 'model.pth'}")
    print(f"variance explained: {100 * explained:.1f} %")


if __name__ == "__main__":
    main()
