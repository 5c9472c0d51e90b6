"""The usual networks, built from the same lines in PyTorch and clgrad, take the same training steps."""

import numpy as np
import pytest

import clgrad

torch = pytest.importorskip("torch")

STEPS = 3


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def classes(count, *shape):
    return np.random.default_rng(count).integers(0, count, shape)


def train(lib, model, arrays, loss, optimize):
    """The losses of a few steps."""
    data = [lib.from_numpy(a.copy()) for a in arrays]
    optimizer, schedule = optimize(lib, model)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss(lib, model, *data)
        value.backward()
        lib.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(value.item())
    return losses


def resnet(lib):
    nn = lib.nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
            self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = self.bn2(self.conv2(nn.functional.relu(self.bn1(self.conv1(x)), inplace=True)))
            return lib.relu(y + self.shortcut(x))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Block(8, 8, 1), Block(8, 16, 2), nn.AdaptiveAvgPool2d((1, 1)),
                         nn.Flatten(), nn.Linear(16, 5))


def language_model(lib):
    nn = lib.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 8, padding_idx=0)
            self.rnn = nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)
            self.out = nn.Linear(32, 20)

        def forward(self, x):
            return self.out(self.rnn(self.embed(x))[0])
    return Model()


def encoder(lib):
    nn = lib.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=True)
            self.embed = nn.Embedding(20, 16)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.out = nn.Linear(16, 20)
            self.register_buffer("position", lib.arange(7))

        def forward(self, x):
            mask = nn.Transformer.generate_square_subsequent_mask(x.size(1))
            y = self.layers(self.embed(x) + self.embed(self.position[:x.size(1)]), mask=mask, is_causal=True)
            return self.out(y)
    return Model()


def gpt(lib):
    nn = lib.nn

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.project = nn.Linear(16, 48), nn.Linear(16, 16)
            self.register_buffer("mask", lib.tril(lib.ones(8, 8)).view(1, 1, 8, 8))

        def forward(self, x):
            batch, length, width = x.size()
            q, k, v = (t.view(batch, length, 4, 4).transpose(1, 2) for t in self.qkv(x).split(16, dim=2))
            scores = (q @ k.transpose(-2, -1)) * 0.5
            scores = scores.masked_fill(self.mask[:, :, :length, :length] == 0, float("-inf"))
            y = nn.functional.softmax(scores, dim=-1) @ v
            return self.project(y.transpose(1, 2).contiguous().view(batch, length, width))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(20, 16), nn.Embedding(8, 16)
            self.attention = nn.ModuleList([Attention() for _ in range(2)])
            self.norms = nn.ModuleList([nn.LayerNorm(16) for _ in range(3)])
            self.mlp = nn.Sequential(nn.Linear(16, 64), nn.GELU(approximate="tanh"), nn.Linear(64, 16))
            self.head = nn.Linear(16, 20, bias=False)
            self.words.weight = self.head.weight

        def forward(self, index):
            x = self.words(index) + self.places(lib.arange(0, index.size(1), dtype=lib.long, device=index.device))
            for attention, norm in zip(self.attention, self.norms, strict=False):
                x = x + attention(norm(x))
                x = x + self.mlp(x)
            return self.head(self.norms[2](x))
    return Model()


def unet(lib):
    nn = lib.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(1, 8, 3, padding=1)
            self.middle = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.SiLU())
            self.up = nn.ConvTranspose2d(16, 8, 2, 2)
            self.smooth = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.out = nn.Conv2d(32, 1, 1)

        def forward(self, x):
            wide = self.down(x)
            deep = self.middle(wide)
            return self.out(lib.cat([wide, self.up(deep), self.smooth(deep)], dim=1))
    return Model()


def critic(lib):
    return lib.nn.Sequential(lib.nn.Linear(6, 16), lib.nn.LeakyReLU(0.2), lib.nn.Linear(16, 1))


def gradient_penalty(lib, model, x):
    x = x.clone().requires_grad_(True)
    out = model(x)
    (grad,) = lib.autograd.grad(out, x, grad_outputs=lib.ones_like(out), create_graph=True, retain_graph=True)
    return out.mean() + 10 * ((grad.norm(2, dim=1) - 1) ** 2).mean()


def autoencoder(lib):
    nn = lib.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.mean, self.logvar = nn.Linear(10, 16), nn.Linear(16, 3), nn.Linear(16, 3)
            self.decode = nn.Sequential(nn.Linear(3, 16), nn.ELU(), nn.Linear(16, 10), nn.Sigmoid())

        def forward(self, x, noise):
            h = lib.tanh(self.encode(x))
            mean, logvar = self.mean(h), self.logvar(h)
            return self.decode(mean + noise * lib.exp(0.5 * logvar)), mean, logvar
    return Model()


def evidence(lib, model, x, noise):
    again, mean, logvar = model(x, noise)
    fit = lib.nn.functional.binary_cross_entropy(again, x, reduction="sum")
    return fit - 0.5 * lib.sum(1 + logvar - mean.pow(2) - logvar.exp())


def policy(lib):
    return lib.nn.Sequential(lib.nn.Linear(4, 16), lib.nn.ReLU(), lib.nn.Linear(16, 2))


def q_learning(lib, model, states, actions, rewards, following):
    best = model(following).max(1)[0].detach()
    return lib.nn.SmoothL1Loss()(model(states).gather(1, actions), (rewards + 0.9 * best).unsqueeze(1))


def mobile(lib):
    nn = lib.nn
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True),
                         nn.Conv2d(8, 8, 3, 1, 1, groups=8, bias=False), nn.InstanceNorm2d(8, affine=True),
                         nn.Hardswish(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 4 * 4, 4), nn.LogSoftmax(dim=1))


def two_groups(lib, model):
    large = [p for p in model.parameters() if p.dim() >= 2]
    small = [p for p in model.parameters() if p.dim() < 2]
    return lib.optim.AdamW([{"params": large, "weight_decay": 0.1}, {"params": small, "weight_decay": 0.0}], lr=0.01,
                           betas=(0.9, 0.95)), None


def cosine(lib, model):
    optimizer = lib.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    return optimizer, lib.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)


def one_cycle(lib, model):
    optimizer = lib.optim.AdamW(model.parameters(), lr=0.01)
    return optimizer, lib.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=10)


def plain(name, **options):
    return lambda lib, model: (getattr(lib.optim, name)(model.parameters(), **options), None)


PROGRAMS = {
    "resnet": (resnet, [normal(4, 3, 16, 16), classes(5, 4)],
               lambda lib, m, x, y: lib.nn.CrossEntropyLoss(label_smoothing=0.1)(m(x), y), cosine),
    "lstm": (language_model, [classes(20, 3, 7)],
             lambda lib, m, x: lib.nn.functional.cross_entropy(m(x)[:, :-1].reshape(-1, 20), x[:, 1:].reshape(-1)),
             plain("Adam", lr=0.01)),
    "transformer": (encoder, [classes(20, 3, 7)],
                    lambda lib, m, x: lib.nn.functional.cross_entropy(m(x).transpose(1, 2), x), one_cycle),
    "gpt": (gpt, [classes(20, 3, 8)],
            lambda lib, m, x: lib.nn.functional.cross_entropy(m(x).view(-1, 20), x.view(-1), ignore_index=-1), two_groups),
    "unet": (unet, [normal(2, 1, 16, 16), (normal(2, 1, 16, 16) > 0).astype(np.float32)],
             lambda lib, m, x, y: lib.nn.BCEWithLogitsLoss(pos_weight=lib.tensor([2.0]))(m(x), y),
             plain("Adamax", lr=0.01)),
    "gradient penalty": (critic, [normal(5, 6)], gradient_penalty, plain("Adam", lr=0.01, betas=(0.5, 0.9))),
    "autoencoder": (autoencoder, [np.abs(np.sin(normal(4, 10))), normal(4, 3)], evidence, plain("Adagrad", lr=0.01)),
    "q learning": (policy, [normal(6, 4), classes(2, 6, 1), normal(6), normal(6, 4)], q_learning, plain("SGD", lr=0.1)),
    "mobile": (mobile, [normal(3, 3, 16, 16), classes(4, 3)],
               lambda lib, m, x, y: lib.nn.NLLLoss(weight=lib.tensor([1.0, 2.0, 0.5, 1.0]))(m(x), y), plain("RMSprop")),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_training_steps(name):
    build, arrays, loss, optimize = PROGRAMS[name]
    torch.manual_seed(0)
    reference, model = build(torch), build(clgrad)
    model.load_state_dict({k: clgrad.from_numpy(v.numpy().copy()) for k, v in reference.state_dict().items()})
    expected = train(torch, reference, arrays, loss, optimize)
    np.testing.assert_allclose(train(clgrad, model, arrays, loss, optimize), expected, rtol=2e-4, atol=2e-4)
    for (key, a), b in zip(reference.state_dict().items(), model.state_dict().values(), strict=True):
        # Adam makes a step of its own size of a gradient that is zero but for rounding.
        np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-3, atol=0.03 if "bias" in key else 1e-3, err_msg=key)
