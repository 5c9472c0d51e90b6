"""Networks against torchvision's: names of parameters, results and gradients of the same weights, initial values."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad import hub
from clgrad.vision import models

SMALL = {  # model: its arguments here, the size of the images
    "alexnet": ({}, 64), "vgg11_bn": ({}, 32), "resnet18": ({}, 33), "resnet50": ({}, 33),
    "resnext50_32x4d": ({}, 32), "squeezenet1_0": ({}, 40), "squeezenet1_1": ({}, 40),
    "mobilenet_v2": ({}, 32), "densenet121": ({}, 32),
    "vit_b_16": ({"image_size": 32, "num_layers": 2, "hidden_dim": 48, "mlp_dim": 64, "num_heads": 4}, 32)}
SAME_KEYS = ["resnet34", "resnet152", "wide_resnet50_2", "resnext101_32x8d", "vgg16", "inception_v3", "densenet169"]


def pair_of(torchvision, torch, name, **arguments):
    if name.startswith("vit"):
        full = {"patch_size": int(name[-2:]), "num_classes": 1000, **arguments}
        theirs = torchvision.models.VisionTransformer(**full) if len(arguments) > 1 else (
            getattr(torchvision.models, name)(**arguments))
    else:
        theirs = getattr(torchvision.models, name)(**arguments)
    return getattr(models, name)(**arguments), theirs


@pytest.mark.parametrize("name", SMALL)
def test_same_weights_same_results(torchvision, torch, rng, name):
    arguments, size = SMALL[name]
    ours, theirs = pair_of(torchvision, torch, name, num_classes=7, **arguments)
    for parameter in theirs.parameters():  # zero heads and tiny tails would compare zeros
        if parameter.abs().max() < 1e-3:
            torch.nn.init.normal_(parameter, std=0.05)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict({key: value.numpy() for key, value in state.items()})
    images = rng.normal(size=(2, 3, size, size)).astype(np.float32)
    ours.eval()
    theirs.eval()
    if name in ("resnet50", "squeezenet1_0"):  # where untrained, rounding errors grow, or choose another of two maxima
        ours, theirs, images = ours.double(), theirs.double(), images.astype(np.float64)
    x, y = clgrad.tensor(images), torch.tensor(images)
    ours_out, theirs_out = ours(x), theirs(y)
    np.testing.assert_allclose(ours_out.tolist(), theirs_out.tolist(), rtol=2e-3, atol=2e-4)
    ours_out.square().sum().backward()
    theirs_out.square().sum().backward()
    first = next(iter(theirs.named_parameters()))[0]
    a = np.array(dict(ours.named_parameters())[first].grad.tolist())
    b = dict(theirs.named_parameters())[first].grad.numpy()
    assert np.abs(a - b).max() <= 2e-3 * np.abs(b).max() + 1e-6


def test_convolutions_before_the_sequence(torchvision, torch, rng):
    arguments = {**SMALL["vit_b_16"][0], "patch_size": 16, "num_classes": 7, "representation_size": 5}
    ours, theirs = (library.VisionTransformer(**arguments, conv_stem_configs=[
        library.vision_transformer.ConvStemConfig(8, 3, 4), library.vision_transformer.ConvStemConfig(12, 3, 4)])
        for library in (models, torchvision.models))
    torch.nn.init.normal_(theirs.heads.head.weight)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state) and ours.representation_size == theirs.representation_size
    ours.load_state_dict({key: value.numpy() for key, value in state.items()})
    images = rng.normal(size=(2, 3, 32, 32)).astype(np.float32)
    found, expected = ours(clgrad.tensor(images)), theirs(torch.tensor(images))
    np.testing.assert_allclose(found.tolist(), expected.tolist(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SAME_KEYS)
def test_names_and_shapes_of_larger_ones(torchvision, torch, name, monkeypatch):
    for function in ("kaiming_normal_", "normal_", "trunc_normal_", "xavier_uniform_", "kaiming_uniform_"):
        for library in (clgrad, torch):  # initial values of hundreds of megabytes take long
            monkeypatch.setattr(library.nn.init, function, lambda t, *a, **k: t)
    options = {"init_weights": False} if name.startswith("inception") else {}
    with torch.device("meta"):
        theirs = getattr(torchvision.models, name)(**options)
    ours = getattr(models, name)(**options)
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()}


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v2", "vit_b_16"])
def test_initial_values(torchvision, torch, name):
    arguments = SMALL[name][0] if name.startswith("vit") else {}
    ours, theirs = pair_of(torchvision, torch, name, **arguments)
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        if a.is_floating_point() and a.numel() > 2000:
            spread = b.std().item()
            assert abs(a.std().item() - spread) <= 0.1 * spread + 1e-7, key
        elif not a.is_floating_point() or b.std(correction=0) == 0:
            assert a.flatten()[:5].tolist() == b.flatten()[:5].tolist(), key


def test_classifiers_on_the_way(torchvision, torch, rng):
    theirs = torchvision.models.googlenet(num_classes=3, init_weights=True, dropout=0.0, dropout_aux=0.0).train()
    ours = models.googlenet(num_classes=3, init_weights=True, dropout=0.0, dropout_aux=0.0)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    images = rng.normal(size=(4, 3, 64, 64)).astype(np.float32)
    found, expected = ours(clgrad.tensor(images)), theirs(torch.tensor(images))
    assert found._fields == expected._fields
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.tolist(), b.tolist(), atol=2e-3)


def test_lenet_trains():
    net, criterion = models.LeNet(), clgrad.nn.CrossEntropyLoss()
    optimizer = clgrad.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, y = clgrad.randn(16, 1, 32, 32), clgrad.arange(16) % 10
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_published_weights(tmp_path):
    before = hub.get_dir()
    hub.set_dir(tmp_path)
    try:
        source = models.squeezenet1_1()
        (tmp_path / "checkpoints").mkdir()
        clgrad.save(source.state_dict(), tmp_path / "checkpoints" /
                    models.SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2])
        for weights in (models.SqueezeNet1_1_Weights.DEFAULT, "DEFAULT", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
            made = models.squeezenet1_1(weights=weights)
            assert made.features[0].weight.tolist() == source.features[0].weight.tolist()
        assert models.squeezenet1_1(pretrained=True).features[0].bias.tolist() == [0.0] * 64
    finally:
        hub.set_dir(before)
    with pytest.raises(KeyError, match="no weights 'BEST'"):
        models.resnet18(weights="BEST")
    with pytest.raises(TypeError, match="expected ResNet18_Weights but received ResNet50_Weights"):
        models.resnet18(weights=models.ResNet50_Weights.DEFAULT)
    with pytest.raises(ValueError, match="num_classes"):
        models.resnet18(weights="DEFAULT", num_classes=10)
    preset = models.ResNet18_Weights.DEFAULT.transforms()
    assert preset(clgrad.zeros(3, 300, 260, dtype=clgrad.uint8)).shape == (3, 224, 224)
    assert models.get_model("resnet18", num_classes=3).fc.out_features == 3 and "vgg16" in models.list_models()
    with pytest.raises(ValueError, match="Unknown model"):
        models.get_model("nothing")
