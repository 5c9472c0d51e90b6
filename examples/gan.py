"""Trains a generative adversarial network (Goodfellow et al. 2014) on scikit-learn's digits.

    python examples/gan.py [--device cpu] [--steps 1500] [--seed 0] [--output runs/gan]

Writes samples.png, loss.png (the discriminator's) and model.pth (the generator) into the folder --output, and prints how
near the average made-up digit is to the average real one, as a share of the pixels' spread.
"""

from common import Parser, plot_loss, prepare
from tqdm import tqdm

import clgrad as torch
from clgrad import nn
from clgrad.vision import datasets
from clgrad.vision.utils import save_image

BATCH, NOISE = 64, 16


def generator():
    """Noise (n, 16) to pictures (n, 1, 8, 8) in [-1, 1]."""
    return nn.Sequential(nn.Linear(NOISE, 64 * 2 * 2), nn.Unflatten(1, (64, 2, 2)), nn.BatchNorm2d(64), nn.ReLU(),
                         nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
                         nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1), nn.Tanh())


def discriminator():
    """Pictures to scores (n, 1): positive for real ones."""
    return nn.Sequential(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
                         nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Dropout(0.3),
                         nn.Linear(64 * 2 * 2, 1))


def digits():
    """Real pictures (n, 1, 8, 8) in [-1, 1]."""
    return torch.from_numpy(datasets.Digits().data).float().unsqueeze(1) / 127.5 - 1


def train(maker, judge, images, steps):
    """Both networks in turns; returns the judge's losses."""
    of_maker = torch.optim.Adam(maker.parameters(), lr=1e-3, betas=(0.5, 0.999))
    of_judge = torch.optim.Adam(judge.parameters(), lr=5e-4, betas=(0.5, 0.999))
    device, losses = images.device, []
    real, fake = torch.full((BATCH, 1), 0.9, device=device), torch.zeros(BATCH, 1, device=device)
    criterion = nn.BCEWithLogitsLoss()
    with tqdm(range(steps), unit="step") as bar:
        for _ in bar:
            made = maker(torch.randn(BATCH, NOISE, device=device))
            batch = images[torch.randint(0, len(images), (BATCH,), device=device)]
            of_judge.zero_grad()
            loss = criterion(judge(batch), real) + criterion(judge(made.detach()), fake)
            loss.backward()
            of_judge.step()
            of_maker.zero_grad()
            criterion(judge(made), real).backward()
            of_maker.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return losses


def main():
    options = Parser("Train a generative adversarial network on digits.", "runs/gan", 1500).parse_args()
    device = prepare(options)
    maker, judge, images = generator().to(device), discriminator().to(device), digits().to(device)
    losses = train(maker, judge, images, options.steps)

    maker.eval()
    with torch.no_grad():
        made = maker(torch.randn(500, NOISE, device=device))
        away = (made.mean(0) - images.mean(0)).square().mean() / (images + 1).mean(0).var(correction=0)
    shown = torch.cat([images[:32], made[:64]]) / 2 + 0.5
    save_image(nn.functional.interpolate(shown, scale_factor=4), options.output / "samples.png", nrow=16)
    plot_loss(losses, options.output / "loss.png")
    torch.save(maker.state_dict(), options.output / "model.pth")
    print(f"wrote {options.output / 'samples.png'} (two rows of digits, four of made-up ones), "
          f"{options.output / 'loss.png'}, {options.output / 'model.pth'}")
    print(f"average digit: {100 * (1 - away.item()):.1f} %")


if __name__ == "__main__":
    main()
