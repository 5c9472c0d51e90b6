"""Trains a classifier of CIFAR-10's colour pictures: a small convolutional network, or ResNet-18.

    python examples/cifar10.py [--device cpu] [--steps 500] [--seed 0] [--output runs/cifar10] [--data data]
                               [--model small|resnet18] [--workers 2]

The pictures are read from the folder --data, or fetched into it. Without a network the program says so and goes on with
made-up pictures of ten patterns, so that everything but the subject can be tried. Writes loss.png, predictions.png and
model.pth into the folder --output, and prints the accuracy on pictures that were not trained on.
"""

import time

from common import Parser, plot_loss, plt, prepare
from tqdm import tqdm

import clgrad as torch
from clgrad import nn
from clgrad.utils.data import DataLoader, Dataset
from clgrad.vision import datasets, models, transforms

BATCH = 64
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)


class Patterns(Dataset):
    """Stripes in ten directions, with noise, as pictures of Pillow's: stands in for CIFAR-10 where it cannot be had."""

    classes = [f"{18 * n} degrees" for n in range(10)]

    def __init__(self, count, seed, transform):
        draw = torch.Generator().manual_seed(seed)
        places = torch.arange(32.0)
        self.labels = torch.arange(count) % 10
        angles = self.labels * (3.141592653589793 / 10)
        along = (angles.cos()[:, None, None] * places + angles.sin()[:, None, None] * places[:, None])
        stripes = 0.5 + 0.4 * torch.sin(0.9 * along + 6.28 * torch.rand(count, 1, 1, generator=draw))
        noisy = stripes[:, None] + 0.1 * torch.randn(count, 3, 32, 32, generator=draw)
        self.pictures = (noisy.clamp(0, 1) * 255).to(torch.uint8)
        self.transform = transform

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.transform(transforms.ToPILImage()(self.pictures[index])), int(self.labels[index])


def pictures(folder):
    """Training and test set: CIFAR-10, or what stands in for it."""
    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    varied = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), plain])
    try:
        return (datasets.CIFAR10(folder, train=True, transform=varied, download=True),
                datasets.CIFAR10(folder, train=False, transform=plain))
    except (RuntimeError, OSError) as error:
        print(f"CIFAR-10 is not there: {str(error).splitlines()[0]}")
        print("going on with made-up pictures of ten patterns")
        return Patterns(2000, 1, plain), Patterns(500, 2, plain)


def small():
    """Three convolutions with normalisation and pooling, then a linear layer."""
    def stage(inputs, outputs):
        return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*stage(3, 16), *stage(16, 32), *stage(32, 64), nn.Flatten(), nn.Linear(64 * 4 * 4, 10))


def resnet18():
    """ResNet-18 whose beginning fits small pictures: stride 1 and no pooling."""
    model = models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def batches(loader):
    """Batches without end."""
    while True:
        yield from loader


def train(model, loader, steps, device):
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    losses = []
    model.train()
    with tqdm(range(steps), unit="step") as bar:
        for _, (images, labels) in zip(bar, batches(loader), strict=False):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return losses


@torch.no_grad()
def evaluate(model, loader, device):
    """The share that is right, and the first batch with what the network sees in it."""
    model.eval()
    right, seen, shown = 0, 0, None
    for images, labels in loader:
        chosen = model(images.to(device)).argmax(1).cpu()
        right += (chosen == labels).sum().item()
        seen += len(labels)
        shown = shown or (images, labels.tolist(), chosen.tolist())
    return right / seen, shown


def plot_predictions(images, labels, chosen, classes, path):
    """Twenty pictures with their classes; mistakes are red."""
    figure, axes = plt.subplots(2, 10, figsize=(14, 3.4))
    spread = torch.tensor(STD)[:, None, None], torch.tensor(MEAN)[:, None, None]
    for place, image, label, guess in zip(axes.flat, images, labels, chosen, strict=False):
        place.imshow((image * spread[0] + spread[1]).clamp(0, 1).permute(1, 2, 0).numpy())
        place.set_title(classes[guess], fontsize=8, color="black" if guess == label else "red")
        place.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = Parser("Train a classifier of CIFAR-10.", "runs/cifar10", 500)
    parser.add_argument("--data", default="data", help="folder of the pictures")
    parser.add_argument("--model", choices=["small", "resnet18"], default="small", help="the network")
    parser.add_argument("--workers", type=int, default=2, help="processes that load pictures")
    options = parser.parse_args()
    device = prepare(options)
    training, test = pictures(options.data)
    loader = DataLoader(training, BATCH, shuffle=True, num_workers=options.workers, drop_last=True,
                        persistent_workers=options.workers > 0)
    model = (small() if options.model == "small" else resnet18()).to(device)

    began = time.perf_counter()
    losses = train(model, loader, options.steps, device)
    seconds = time.perf_counter() - began
    accuracy, shown = evaluate(model, DataLoader(test, 256), device)
    plot_loss(losses, options.output / "loss.png")
    plot_predictions(*shown, training.classes, options.output / "predictions.png")
    torch.save(model.state_dict(), options.output / "model.pth")
    print(f"trained {options.steps} steps in {seconds:.1f} s on {device}")
    print(f"wrote {options.output / 'loss.png'}, {options.output / 'predictions.png'}, {options.output / 'model.pth'}")
    print(f"accuracy: {100 * accuracy:.1f} %")


if __name__ == "__main__":
    main()
