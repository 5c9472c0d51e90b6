"""Trains a variational autoencoder (Kingma and Welling 2013) on scikit-learn's digits, and draws new ones.

    python examples/vae.py [--device cpu] [--steps 600] [--seed 0] [--output runs/vae]

Writes samples.png, loss.png and model.pth into the folder --output, and prints how much of the test digits' variance the
reconstructions keep.
"""

from common import Parser, plot_loss, prepare
from tqdm import tqdm

import clgrad as torch
from clgrad import nn
from clgrad.vision import datasets
from clgrad.vision.utils import save_image

BATCH = 128


class VAE(nn.Module):
    """Pictures (n, 64) to a normal distribution over codes (n, 8), and back."""

    def __init__(self, pixels=64, hidden=128, codes=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU())
        self.mean, self.logvar = nn.Linear(hidden, codes), nn.Linear(hidden, codes)
        self.decoder = nn.Sequential(nn.Linear(codes, hidden), nn.ReLU(), nn.Linear(hidden, pixels))
        self.codes = codes

    def encode(self, x):
        hidden = self.encoder(x)
        return self.mean(hidden), self.logvar(hidden)

    def forward(self, x):
        mean, logvar = self.encode(x)
        code = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        return self.decoder(code), mean, logvar


def bound(scores, x, mean, logvar):
    """The negative evidence lower bound of a picture: reconstruction, and distance from the prior."""
    reconstruction = nn.functional.binary_cross_entropy_with_logits(scores, x, reduction="sum")
    distance = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum()
    return (reconstruction + distance) / len(x)


def digits(train):
    """All pictures of one part: (n, 64), in [0, 1]."""
    return torch.from_numpy(datasets.Digits(train=train).data).float().flatten(1) / 255


def train(model, images, steps):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    with tqdm(range(steps), unit="step") as bar:
        for _ in bar:
            batch = images[torch.randint(0, len(images), (BATCH,), device=images.device)]
            optimizer.zero_grad()
            scores, mean, logvar = model(batch)
            loss = bound(scores, batch, mean, logvar)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.4f}")
    return losses


def main():
    options = Parser("Train a variational autoencoder on digits.", "runs/vae", 600).parse_args()
    device = prepare(options)
    model = VAE().to(device)
    losses = train(model, digits(True).to(device), options.steps)

    model.eval()
    with torch.no_grad():
        images = digits(False).to(device)
        back = model.decoder(model.encode(images)[0]).sigmoid()
        kept = 1 - ((images - back).square().mean() / images.var(dim=0, correction=0).mean()).item()
        new = model.decoder(torch.randn(48, model.codes, device=device)).sigmoid()
    shown = torch.cat([images[:16], back[:16], new]).view(-1, 1, 8, 8)
    save_image(nn.functional.interpolate(shown, scale_factor=4), options.output / "samples.png", nrow=16)
    plot_loss(losses, options.output / "loss.png")
    torch.save(model.state_dict(), options.output / "model.pth")
    print(f"wrote {options.output / 'samples.png'} (digits, their reconstructions, new ones), {options.output / 'loss.png'}, "
          f"{options.output / 'model.pth'}")
    print(f"variance kept: {100 * kept:.1f} %")


if __name__ == "__main__":
    main()
