"""Trains LeNet-5 on the 1,797 handwritten digits that scikit-learn carries, or on the files of MNIST.

    python examples/train_digits.py [--device cpu] [--epochs 20] [--batch-size 64] [--seed 0] [--output digits]
                                    [--resume digits/checkpoint.pth] [--mnist data]

``--mnist`` names the folder in which ``MNIST/raw`` holds the files; they are fetched where they are missing.

Writes checkpoint.pth, curves.png and predictions.png into the folder --output, and prints the test accuracy.
The network: LeCun et al. 1998, with ReLU and max pooling.
"""

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from common import Parser, fail, positive, prepare
from sklearn.datasets import load_digits
from tqdm import tqdm

import clgrad as torch
from clgrad import nn
from clgrad.utils.data import DataLoader, TensorDataset
from clgrad.vision.datasets import MNIST

TEST_SHARE = 0.2
SIDE = 32


class LeNet5(nn.Module):
    """Two convolutions with pooling, three linear layers: (n, 1, 32, 32) to (n, 10) scores."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(
            nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


def arguments():
    parser = Parser("Train LeNet-5 on handwritten digits.", output="runs/digits")
    parser.add_argument("--epochs", type=positive, default=20, help="passes over the training images")
    parser.add_argument("--batch-size", type=positive, default=64, help="images of a step")
    parser.add_argument("--resume", type=Path, default=None, help="a checkpoint to go on from")
    parser.add_argument("--mnist", type=Path, default=None, help="the folder of MNIST, in place of scikit-learn's digits")
    return parser.parse_args()


def digits():
    """The images at 32x32 with values in [0, 1], the labels, and a split that is always the same."""
    data = load_digits()
    images = data.images.astype(np.float32) / 16
    # From 8x8 to 32x32, linearly between the centres of the pixels.
    places = np.clip((np.arange(SIDE) + 0.5) / 4 - 0.5, 0, 7)
    low = np.minimum(places.astype(int), 6)
    share = (places - low).astype(np.float32)
    rows = images[:, low] * (1 - share)[:, None] + images[:, low + 1] * share[:, None]
    images = rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
    order = np.random.default_rng(0).permutation(len(images))
    count = int(len(images) * TEST_SHARE)
    images, labels = torch.from_numpy(images[order][:, None].copy()), torch.from_numpy(data.target[order].copy())
    return (images[count:], labels[count:]), (images[:count], labels[:count])


def mnist(folder):
    """The images of MNIST, with a rim of 2 pixels that makes them 32x32, and the labels: for training, and for tests."""
    try:
        parts = [MNIST(folder, train=train, download=True) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        fail(f"--mnist: {error}")
    return [(nn.functional.pad(part.data.unsqueeze(1).float() / 255, (2, 2, 2, 2)), part.targets) for part in parts]


def train_epoch(model, loader, criterion, optimizer, device, title):
    model.train()
    total_loss, correct, seen = 0.0, 0, 0
    with tqdm(loader, desc=title, unit="batch") as bar:
        for images, labels in bar:
            images, labels = images.to(device), labels.to(device)
            optimizer.zero_grad()
            scores = model(images)
            loss = criterion(scores, labels)
            loss.backward()
            optimizer.step()
            seen += len(labels)
            total_loss += loss.item() * len(labels)
            correct += (scores.argmax(1) == labels).sum().item()
            bar.set_postfix(loss=f"{total_loss / seen:.4f}", accuracy=f"{100 * correct / seen:.1f} %")
    return total_loss / seen, correct / seen


@torch.no_grad()
def evaluate(model, loader, criterion, device):
    model.eval()
    total_loss, predictions, correct, seen = 0.0, [], 0, 0
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        scores = model(images)
        total_loss += criterion(scores, labels).item() * len(labels)
        chosen = scores.argmax(1)
        correct += (chosen == labels).sum().item()
        seen += len(labels)
        predictions += chosen.tolist()
    return total_loss / seen, correct / seen, predictions


def plot_curves(history, path):
    epochs = range(1, len(history["train_loss"]) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for axes, name in ((left, "loss"), (right, "accuracy")):
        axes.plot(epochs, history[f"train_{name}"], label="training")
        axes.plot(epochs, history[f"test_{name}"], label="test")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_predictions(images, labels, predictions, path):
    """The first 40 test images with what the network reads; mistakes are red."""
    figure, axes = plt.subplots(4, 10, figsize=(10, 4.6))
    for place, image, label, guess in zip(axes.flat, images.squeeze(1).numpy(), labels.tolist(), predictions,
                                          strict=False):
        place.imshow(image, cmap="gray_r")
        place.set_title(str(guess) if guess == label else f"{guess} (is {label})", fontsize=9,
                        color="black" if guess == label else "red")
        place.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def restore(path, model, optimizer):
    """The history of a checkpoint, whose values go into model and optimizer."""
    if not path.is_file():
        fail(f"--resume: there is no file {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu")
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        return checkpoint["history"]
    except Exception as error:
        fail(f"--resume: {path} is not a checkpoint of this program: {error}")


def main():
    options = arguments()
    device = prepare(options)
    data = digits() if options.mnist is None else mnist(options.mnist)
    (train_images, train_labels), (test_images, test_labels) = data
    train_loader = DataLoader(TensorDataset(train_images, train_labels), batch_size=options.batch_size, shuffle=True)
    test_loader = DataLoader(TensorDataset(test_images, test_labels), batch_size=256)

    model = LeNet5().to(device)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    history = {"train_loss": [], "train_accuracy": [], "test_loss": [], "test_accuracy": []}
    if options.resume is not None:
        history = restore(options.resume, model, optimizer)

    began = time.perf_counter()
    first = len(history["train_loss"]) + 1
    for epoch in range(first, first + options.epochs):
        title = f"epoch {epoch}/{first + options.epochs - 1}"
        train_loss, train_accuracy = train_epoch(model, train_loader, criterion, optimizer, device, title)
        test_loss, test_accuracy, predictions = evaluate(model, test_loader, criterion, device)
        for name, value in {"train_loss": train_loss, "train_accuracy": train_accuracy, "test_loss": test_loss,
                            "test_accuracy": test_accuracy}.items():
            history[name].append(value)
    seconds = time.perf_counter() - began

    checkpoint = options.output / "checkpoint.pth"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "history": history}, checkpoint)
    plot_curves(history, options.output / "curves.png")
    plot_predictions(test_images, test_labels, predictions, options.output / "predictions.png")
    print(f"trained {options.epochs} epochs in {seconds:.1f} s on {device}")
    print(f"wrote {checkpoint}, {options.output / 'curves.png'}, {options.output / 'predictions.png'}")
    print(f"test accuracy: {100 * test_accuracy:.1f} %")


if __name__ == "__main__":
    main()
