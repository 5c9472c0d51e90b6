"""Families of models: numbers of parameters, results and gradients against torchvision's, models by name."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import clgrad
from clgrad.vision import models, ops
from clgrad.vision.models import segmentation
from clgrad.vision.models.feature_extraction import create_feature_extractor, get_graph_node_names
from clgrad.vision.models.regnet import BlockParams
from clgrad.vision.models.swin_transformer import shifted_window_attention
from clgrad.vision.models.vision_transformer import interpolate_embeddings

# What torchvision's documentation says of models with a thousand classes.
PARAMETERS = {
    "mobilenet_v3_large": 5483032, "mobilenet_v3_small": 2542856, "efficientnet_b0": 5288548, "efficientnet_b7": 66347960,
    "efficientnet_v2_s": 21458488, "efficientnet_v2_l": 118515272, "convnext_tiny": 28589128, "convnext_large": 197767336,
    "swin_t": 28288354, "swin_b": 87768224, "swin_v2_t": 28351570, "swin_v2_b": 87930848, "shufflenet_v2_x0_5": 1366792,
    "shufflenet_v2_x2_0": 7393996, "mnasnet0_5": 2218512, "mnasnet1_3": 6282256, "regnet_y_400mf": 4344144,
    "regnet_x_8gf": 39572648, "regnet_y_128gf": 644812894, "maxvit_t": 30919624, "vit_h_14": 632045800, "resnet50": 25557032,
    "mobilenet_v2": 3504872, "densenet161": 28681000, "vgg16": 138357544}
# With classes of Pascal VOC, and scores on the way where there are some.
OF_SEGMENTATION = {
    "fcn_resnet50": 35322218, "fcn_resnet101": 54314346, "deeplabv3_resnet50": 42004074, "deeplabv3_resnet101": 60996202,
    "deeplabv3_mobilenet_v3_large": 11029328, "lraspp_mobilenet_v3_large": 3221538}


def size_of(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", PARAMETERS)
def test_numbers_of_parameters(name):
    with clgrad.device("meta"):
        assert size_of(models.get_model(name)) == PARAMETERS[name]


@pytest.mark.parametrize("name", OF_SEGMENTATION)
def test_numbers_of_parameters_of_segmentation(name):
    auxiliary = {} if name.startswith("lraspp") else {"aux_loss": True}
    with clgrad.device("meta"):
        assert size_of(models.get_model(name, weights_backbone=None, **auxiliary)) == OF_SEGMENTATION[name]
        fewer = models.get_model(name, weights_backbone=None, num_classes=3)
    assert fewer.eval().classifier is not None and size_of(fewer) < OF_SEGMENTATION[name]


@pytest.mark.parametrize(("arguments", "widths", "depths"), [
    ((22, 24, 24.48, 2.54, 16), [32, 64, 160, 400], [1, 2, 7, 12]),       # RegNetX-400MF
    ((16, 48, 27.89, 2.09, 8), [48, 104, 208, 440], [1, 3, 6, 6]),        # RegNetY-400MF
    ((18, 80, 34.01, 2.25, 24), [72, 168, 408, 912], [2, 4, 10, 2])])     # RegNetX-1.6GF
def test_stages_are_those_of_the_paper(arguments, widths, depths):
    made = BlockParams.from_init_params(*arguments)
    assert (made.widths, made.depths) == (widths, depths)
    with pytest.raises(ValueError, match="Invalid RegNet"):
        BlockParams.from_init_params(4, 20, 1.0, 2.0, 8)


def small(library, name):
    """A small network of a family."""
    if name.startswith("swin"):
        second = {"block": library.swin_transformer.SwinTransformerBlockV2,
                  "downsample_layer": library.swin_transformer.PatchMergingV2} if name == "swin_v2" else {}
        return library.SwinTransformer([2, 2], 8, [2, 2], [2, 4], [3, 3], num_classes=5, **second)
    if name == "convnext":
        row = library.convnext.CNBlockConfig
        return library.ConvNeXt([row(8, 12, 1), row(12, None, 2)], layer_scale=0.5, num_classes=5)
    if name == "efficientnet":
        kinds = library.efficientnet
        return library.EfficientNet([kinds.FusedMBConvConfig(1, 3, 1, 8, 8, 1), kinds.FusedMBConvConfig(4, 3, 2, 8, 16, 2),
                                     kinds.MBConvConfig(4, 5, 2, 16, 24, 2)], 0.0, num_classes=5, last_channel=32)
    if name == "mobilenetv3":
        row = library.mobilenetv3.InvertedResidualConfig
        return library.MobileNetV3([row(8, 3, 8, 8, True, "RE", 1, 1, 1.0), row(8, 3, 24, 16, False, "HS", 2, 1, 1.0),
                                    row(16, 5, 32, 16, True, "HS", 2, 2, 1.0)], 24, num_classes=5, dropout=0.0)
    if name == "maxvit":
        return library.maxvit.MaxVit((32, 32), 8, 2, [8, 16], [1, 2], 4, 0.0, num_classes=5)
    if name == "regnet":
        stages = library.regnet.BlockParams([1, 2], [16, 24], [8, 8], [1.0, 1.0], [2, 2], 0.25)
        return library.RegNet(stages, num_classes=5, stem_width=8)
    if name == "shufflenet":
        return library.ShuffleNetV2([2, 1, 1], [8, 12, 16, 20, 24], num_classes=5)
    return {"mnasnet": lambda: library.MNASNet(0.25, num_classes=5, dropout=0.0),
            "lraspp": lambda: library.segmentation.lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=3),
            "deeplabv3": lambda: library.segmentation.deeplabv3_mobilenet_v3_large(
                weights_backbone=None, num_classes=3, aux_loss=True)}[name]()


FAMILIES = ["swin", "swin_v2", "convnext", "efficientnet", "mobilenetv3", "maxvit", "regnet", "shufflenet", "mnasnet",
            "lraspp", "deeplabv3"]


@pytest.mark.parametrize("name", FAMILIES)
def test_same_weights_same_results_and_gradients(torchvision, torch, rng, name):
    theirs, ours = small(torchvision.models, name).double(), small(models, name).double()
    assert repr(ours) == repr(theirs)
    for key, buffer in theirs.named_buffers():
        if key.endswith("running_var"):  # fresh statistics would hide which of the two is used
            buffer.uniform_(0.5, 1.5)
    state = theirs.state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        key: tuple(value.shape) for key, value in ours.state_dict().items()}
    ours.load_state_dict({key: value.numpy() for key, value in state.items()})
    side = 32 if name == "maxvit" else 35
    images = rng.normal(size=(4, 3, side, side))
    for training in (False, True):
        results = []
        for library, model in ((torch, theirs), (clgrad, ours)):
            model.train(training)
            for module in model.modules():
                if type(module).__name__ in ("Dropout", "StochasticDepth"):
                    module.p = 0.0
            model.zero_grad()
            out = model(library.tensor(images))
            parts = list(out.values()) if isinstance(out, dict) else [out]
            sum((part * part).mean() for part in parts).backward()
            results.append([np.array(part.tolist()) for part in parts])
        for found, expected in zip(results[1], results[0], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
        for (key, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            expected = b.grad.numpy()
            # PyTorch's derivative of hardsigmoid is one of single precision.
            np.testing.assert_allclose(a.grad.numpy(), expected, rtol=1e-5, atol=1e-7 + 1e-6 * np.abs(expected).max(),
                                       err_msg=key)


@pytest.mark.parametrize("name", ["swin", "convnext", "efficientnet", "mobilenetv3", "maxvit", "regnet", "mnasnet"])
def test_initial_values(torchvision, torch, name):
    theirs, ours = small(torchvision.models, name), small(models, name)
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        if a.numel() > 500:
            assert a.std().item() == pytest.approx(b.std().item(), rel=0.25, abs=1e-7), key
        elif b.numel() > 1 and b.double().std() == 0:
            assert a.tolist() == b.tolist(), key


def test_attention_within_shifted_windows(rng):
    """Against the definition: a pixel attends to those of its window of the rolled image that were its neighbours."""
    height, width, window, shift, channels, heads = 5, 6, 3, 1, 4, 2
    x, weight, proj, bias = (rng.normal(size=shape) for shape in (
        (1, height, width, channels), (3 * channels, channels), (channels, channels), (1, heads, 9, 9)))
    found = shifted_window_attention(*(clgrad.tensor(v) for v in (x, weight, proj, bias)), [window, window], heads,
                                     [shift, shift])
    tall, expected = 6, np.zeros((6, width, channels))  # the rows are padded to two windows
    qkv = np.zeros((tall, width, 3, heads, channels // heads))
    qkv[:height] = (x[0] @ weight.T).reshape(height, width, 3, heads, -1)
    for row in range(tall):
        for column in range(width):
            rolled = (row - shift) % tall, (column - shift) % width  # where the pixel is after the image was rolled
            pixels = [((a + shift) % tall, (b + shift) % width)
                      for a in range(rolled[0] // window * window, rolled[0] // window * window + window)
                      for b in range(rolled[1] // window * window, rolled[1] // window * window + window)]
            own = (rolled[0] % window) * window + rolled[1] % window
            for head in range(heads):
                q = qkv[row, column, 0, head] * (channels // heads) ** -0.5
                scores = np.array([q @ qkv[p][1, head] for p in pixels]) + bias[0, head, own]
                # Rolled-in pixels are rows and columns before ``shift``.
                scores += [-100.0 * ((p[0] < shift, p[1] < shift) != (row < shift, column < shift)) for p in pixels]
                shares = np.exp(scores - scores.max())
                values = np.array([qkv[p][2, head] for p in pixels])
                expected[row, column, head * 2:head * 2 + 2] = (shares / shares.sum()) @ values
    np.testing.assert_allclose(found[0].tolist(), expected[:height] @ proj.T, rtol=1e-9, atol=1e-12)


def test_segmentation_scores_every_pixel():
    model = segmentation.deeplabv3_mobilenet_v3_large(weights_backbone=None, num_classes=4, aux_loss=True).eval()
    scores = model(clgrad.rand(1, 3, 40, 56))
    assert list(scores) == ["out", "aux"] and {tuple(value.shape) for value in scores.values()} == {(1, 4, 40, 56)}
    with pytest.raises(NotImplementedError, match="auxiliary loss"):
        segmentation.lraspp_mobilenet_v3_large(weights_backbone=None, aux_loss=True)
    with pytest.raises(ValueError, match="'num_classes' expected value 21 but got 3"):
        segmentation.fcn_resnet50(weights="DEFAULT", num_classes=3)
    with pytest.raises(TypeError, match="expected ResNet50_Weights"):
        segmentation.fcn_resnet50(weights_backbone=models.ResNet18_Weights.DEFAULT)


def test_samples_that_skip_blocks():
    clgrad.manual_seed(0)
    model = small(models, "convnext").train()
    blocks = [module for module in model.modules() if isinstance(module, ops.StochasticDepth)]
    assert [block.p for block in blocks] == [0.0, 0.0, 0.0]
    assert [round(module.p, 4) for module in models.convnext_tiny(stochastic_depth_prob=0.34).modules()
            if isinstance(module, ops.StochasticDepth)] == [round(0.02 * number, 4) for number in range(18)]
    x = clgrad.rand(2, 3, 16, 16)
    for block in blocks:
        block.p = 1.0  # every block is skipped: its weights get no gradient but zeros
    model(x).sum().backward()
    assert model.features[1][0].block[0].weight.grad.abs().sum().item() == 0
    assert model.features[0][0].weight.grad.abs().sum().item() > 0


def test_models_by_name():
    assert models.list_models(segmentation) == sorted(OF_SEGMENTATION)
    assert len(models.list_models(models)) == 80 and len(models.list_models(models.detection)) == 12
    assert len(models.list_models()) == 98
    assert models.list_models(include=["swin*", "vit*"], exclude="*v2*") == [
        "swin_b", "swin_s", "swin_t", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32"]
    assert models.get_model_builder("Swin_T") is models.swin_t
    for name in models.list_models():
        known = models.get_model_weights(name)
        assert known is models.get_model_weights(models.get_model_builder(name))
        assert known.DEFAULT in known and known.DEFAULT.url.startswith("https://download.pytorch.org/models/")
        assert models.get_weight(repr(known.DEFAULT)) is known.DEFAULT
    assert models.RegNet_Y_16GF_Weights.DEFAULT.name == "IMAGENET1K_V2"
    assert models.VGG16_Weights.DEFAULT.name == "IMAGENET1K_V1"
    assert models.ViT_H_14_Weights.DEFAULT.name == "IMAGENET1K_SWAG_E2E_V1"
    assert segmentation.FCN_ResNet50_Weights.DEFAULT.meta["categories"][15] == "person"
    weights = models.EfficientNet_B1_Weights.IMAGENET1K_V1
    assert copy.deepcopy(weights) is weights and pickle.loads(pickle.dumps(weights)) is weights
    assert weights.transforms()(clgrad.zeros(3, 300, 260, dtype=clgrad.uint8)).shape == (3, 240, 240)
    for wrong in ("ResNet50_Weights", "Nothing_Weights.DEFAULT"):
        with pytest.raises(ValueError, match="weight"):
            models.get_weight(wrong)
    with pytest.raises(KeyError, match="BEST"):
        models.get_weight("ResNet50_Weights.BEST")
    with pytest.raises(ValueError, match="'image_size' expected value 384"):
        models.vit_b_16(weights="IMAGENET1K_SWAG_E2E_V1", image_size=224)


def test_the_same_published_weights(torchvision):
    for name in models.list_models():
        ours, theirs = models.get_model_weights(name), torchvision.models.get_model_weights(name)
        assert [member.name for member in ours] == [member.name for member in theirs]
        assert ours.DEFAULT.name == theirs.DEFAULT.name
        for member in ours:
            there = theirs[member.name]
            assert (member.url, repr(member.transforms())) == (there.url, repr(there.transforms()))
            assert all(member.meta[key] == there.meta[key] for key in ("num_params", "min_size"))


def test_a_weights_enumeration_of_ones_own():
    class Own(models.WeightsEnum):
        FIRST = models.Weights(url="https://example.org/a.pth", transforms=str, meta={"num_classes": 2})

    def build(*, weights: Own | None = None):
        return weights
    build.__annotations__["weights"] = Own | None
    assert models.get_model_weights(build) is Own and Own.verify("Own.FIRST") is Own.FIRST and Own.verify(None) is None
    with pytest.raises(ValueError, match="missing the 'weights' argument"):
        models.get_model_weights(lambda: None)


def test_settings_are_checked():
    for family, name in ((models.ConvNeXt, "block_setting"), (models.MobileNetV3, "inverted_residual_setting"),
                         (models.EfficientNet, "inverted_residual_setting")):
        with pytest.raises(ValueError, match=f"{name} should not be empty"):
            family([], 1)
        with pytest.raises(TypeError, match=f"{name} should be List"):
            family([(1, 2)], 1)
    with pytest.raises(ValueError, match="list of 5 positive ints"):
        models.ShuffleNetV2([1, 1, 1], [8, 8])
    with pytest.raises(ValueError, match="alpha should be greater"):
        models.MNASNet(0.0)
    with pytest.raises(ValueError, match="not divisible by partition size"):
        models.MaxVit((40, 40), 8, 3, [8], [1], 4, 0.0)


def test_old_names_in_files_of_densenet():
    source, model = (models.DenseNet(4, (2, 1), 8, 2, num_classes=3) for _ in range(2))
    old = {key.replace("norm1", "norm.1").replace("conv2", "conv.2") if ".denselayer" in key else key: value
           for key, value in source.state_dict().items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    model.load_state_dict(old)
    for a, b in zip(source.parameters(), model.parameters(), strict=True):
        assert a.tolist() == b.tolist()


def test_positions_for_larger_images(torch, rng):
    positions = rng.normal(size=(1, 10, 4)).astype(np.float32)
    state = {"encoder.pos_embedding": clgrad.tensor(positions), "heads.head.bias": clgrad.zeros(2)}
    found = interpolate_embeddings(32, 8, dict(state), reset_heads=True)
    picture = torch.tensor(positions[:, 1:]).permute(0, 2, 1).reshape(1, 4, 3, 3)
    larger = torch.nn.functional.interpolate(picture, size=4, mode="bicubic", align_corners=True)
    expected = np.concatenate([positions[:, :1], larger.reshape(1, 4, 16).permute(0, 2, 1).numpy()], 1)
    assert list(found) == ["encoder.pos_embedding"]
    np.testing.assert_allclose(found["encoder.pos_embedding"].tolist(), expected, rtol=1e-5, atol=1e-6)
    assert interpolate_embeddings(24, 8, dict(state))["encoder.pos_embedding"].tolist() == positions.tolist()
    with pytest.raises(ValueError, match="not a perfect square"):
        interpolate_embeddings(32, 8, {"encoder.pos_embedding": clgrad.zeros(1, 9, 4)})


@pytest.mark.parametrize(("name", "nodes", "shapes"), [
    ("swin", ["features.1", "features.2._neighbours", "head"], [(1, 8, 8, 8), (1, 4, 4, 32), (1, 5)]),
    ("swin_v2", ["features.3"], [(1, 4, 4, 16)]), ("convnext", ["features.1.0.add"], [(1, 8, 4, 4)]),
    ("efficientnet", ["features.2.1.stochastic_depth", "flatten"], [(1, 16, 4, 4), (1, 32)]),
    ("regnet", ["trunk_output.block2.block2-0.f.b"], [(1, 24, 2, 2)])])
def test_features_on_the_way(name, nodes, shapes):
    model = small(models, name).eval()
    x = clgrad.rand(1, 3, 16, 16)
    extractor = create_feature_extractor(model, nodes, suppress_diff_warning=True)
    assert [tuple(value.shape) for value in extractor(x).values()] == shapes
    whole = create_feature_extractor(model, ["head" if name.startswith("swin") else get_graph_node_names(model)[1][-1]],
                                     suppress_diff_warning=True)
    np.testing.assert_allclose(next(iter(whole(x).values())).tolist(), model(x).tolist(), rtol=1e-5, atol=1e-6)
