"""Models that return what their inner layers compute."""

from __future__ import annotations

import copy
import importlib
import pickle

import numpy as np
import pytest

import clgrad
from clgrad import nn
from clgrad.compat.standins.vision_models_utils import IntermediateLayerGetter, _make_divisible
from clgrad.vision.models import resnet18, vit_b_32
from clgrad.vision.models.feature_extraction import create_feature_extractor, get_graph_node_names


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(2, 3)

    def forward(self, x):
        x = self.stem(x)
        x = clgrad.nn.functional.relu(x + x)
        pooled = clgrad.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1)
        if self.training:
            pooled = self.drop(pooled) * 2
        return self.head(pooled)


def test_names_of_nodes():
    with pytest.warns(UserWarning, match="training mode differ"):
        train, evaluation = get_graph_node_names(Small())
    assert evaluation == ["x", "stem.0", "stem.1", "add", "relu", "adaptive_avg_pool2d", "flatten", "head"]
    assert train == [*evaluation[:-1], "drop", "mul", "head"]
    names = get_graph_node_names(resnet18())[1]
    assert names[:6] == ["x", "conv1", "bn1", "relu", "maxpool", "layer1.0.conv1"]
    assert {"layer1.0.relu_1", "layer2.0.downsample.1", "layer4.1.add", "avgpool", "flatten", "fc"} <= set(names)


def test_what_the_extractor_returns():
    model = Small().eval()
    x = clgrad.rand(2, 1, 5, 5)
    extractor = create_feature_extractor(model, {"stem": "low", "flatten": "high"}, suppress_diff_warning=True)
    found = extractor(x)
    assert list(found) == ["low", "high"]
    assert found["low"].tolist() == model.stem(x).tolist()
    assert found["high"].shape == (2, 2)
    assert not hasattr(extractor, "head")
    assert getattr(extractor.stem, "0").weight is model.stem[0].weight
    both = create_feature_extractor(model, train_return_nodes=["mul"], eval_return_nodes=["head"])
    assert list(both(x)) == ["head"]
    assert both(x)["head"].tolist() == model(x).tolist()
    assert list(both.train()(x)) == ["mul"]
    for again in (copy.deepcopy(both), pickle.loads(pickle.dumps(both))):
        assert list(again(x)) == ["mul"]
        assert again.eval()(x)["head"].tolist() == model(x).tolist()


def test_a_model_that_is_traced_for_a_value():
    class Twice(Small):
        def forward(self, x, twice):
            return super().forward(x + x if twice else x)

    assert "add_1" in get_graph_node_names(Twice(), suppress_diff_warning=True, concrete_args={"twice": True})[1]
    extractor = create_feature_extractor(Twice().eval(), ["stem"], suppress_diff_warning=True, concrete_args={"twice": False})
    x = clgrad.rand(1, 1, 5, 5)
    stem = dict(extractor.stem.named_children())
    clgrad.testing.assert_close(extractor(x, False)["stem"], stem["1"](stem["0"](x)))


def test_errors():
    with pytest.raises(ValueError, match="is not present in model"):
        create_feature_extractor(Small(), ["nowhere"], suppress_diff_warning=True)
    with pytest.raises(ValueError, match="should be specified"):
        create_feature_extractor(Small())
    with pytest.raises(ValueError, match="should not be specified"):
        create_feature_extractor(Small(), ["stem"], ["stem"], ["stem"])


def test_a_transformer():
    names = get_graph_node_names(vit_b_32(), suppress_diff_warning=True)[1]
    assert "encoder.layers.encoder_layer_11.mlp.0" in names
    assert names[-1] == "heads.head"


def test_values_of_inner_children(torchvision, torch):
    theirs = importlib.import_module("torchvision.models._utils")
    model, other = resnet18(), torchvision.models.resnet18()
    other.load_state_dict({name: torch.from_numpy(value.numpy()) for name, value in model.state_dict().items()})
    wanted = {"layer1": "low", "layer3": 3}
    ours, expected = IntermediateLayerGetter(model.eval(), wanted), theirs.IntermediateLayerGetter(other.eval(), wanted)
    assert list(ours) == list(expected) and ours.state_dict().keys() == expected.state_dict().keys()
    x = torch.rand(1, 3, 32, 32)
    found, references = ours(clgrad.from_numpy(x.numpy())), expected(x)
    assert list(found) == list(references)
    for value, reference in zip(found.values(), references.values(), strict=True):
        np.testing.assert_allclose(value.detach(), reference.detach(), atol=1e-5)
    with pytest.raises(ValueError, match="return_layers are not present in model"):
        IntermediateLayerGetter(model, {"layer9": "0"})
    for arguments in ((17, 8), (20.5, 8), (3, 8), (11, 8), (33, 16, 48)):
        assert _make_divisible(*arguments) == theirs._make_divisible(*arguments)
