"""Models written as ONNX graphs: each is checked by ONNX, run by ONNX's reference evaluator and read back."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest

import clgrad
from clgrad import nn
from clgrad.nn import functional as F
from clgrad.onnx import OnnxExporterError, UnsupportedOperatorError

onnx = pytest.importorskip("onnx")
from onnx.reference import ReferenceEvaluator  # noqa: E402


def tensors(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(clgrad.tensor(rng.normal(size=shape).astype(np.float32)) for shape in shapes)


def listed(found):
    return [t for item in found for t in listed(item)] if isinstance(found, tuple | list) else [found]


def check(model, args, *, others=None, reference=True, **settings):
    """Exports; compares with the model's own results, for the same inputs and for others."""
    model.eval()
    proto = clgrad.onnx.export(model, args, **settings).model_proto
    onnx.checker.check_model(proto, full_check=True)
    own = clgrad.onnx.load(proto)
    for inputs in (args, *([others] if others else [])):
        expected = [t.detach().numpy() for t in listed(model(*inputs))]
        flat = listed(inputs)[:len(own.input_names)]
        ways = [[t.detach().numpy() for t in listed(own(*flat))]]
        if reference:
            ways.append(ReferenceEvaluator(proto).run(
                None, {name: t.numpy() for name, t in zip(own.input_names, flat, strict=True)}))
        for found in ways:
            assert len(found) == len(expected)
            for one, other in zip(found, expected, strict=True):
                assert (one.shape, one.dtype) == (other.shape, other.dtype)
                np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
    return proto


PICTURE = (2, 4, 8, 8)
LAYERS = {
    "convolution": nn.Conv2d(4, 6, 3, 2, 1, 2, groups=2),
    "convolution, same": nn.Conv2d(4, 4, (3, 2), padding="same"),
    "convolution, reflected": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
    "transposed": nn.ConvTranspose2d(4, 2, 3, 2, 1, 1),
    "batch norm": nn.BatchNorm2d(4), "instance norm": nn.InstanceNorm2d(4, affine=True),
    "layer norm": nn.LayerNorm((8, 8)),
    "layer norm alone": nn.LayerNorm(8, elementwise_affine=False), "group norm": nn.GroupNorm(2, 4),
    "rms norm": nn.RMSNorm(8),
    "local response": nn.LocalResponseNorm(3), "local response, even": nn.LocalResponseNorm(2),
    "max pool": nn.MaxPool2d(3, 2, 1, ceil_mode=True), "average pool": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "lp pool": nn.LPPool2d(2, 2), "adaptive 1": nn.AdaptiveAvgPool2d(1), "adaptive 2": nn.AdaptiveAvgPool2d((2, None)),
    "adaptive 3": nn.AdaptiveAvgPool2d(3), "adaptive max": nn.AdaptiveMaxPool2d(2),
    "nearest": nn.Upsample(scale_factor=2), "bilinear": nn.Upsample(scale_factor=2, mode="bilinear"),
    "corners": nn.Upsample(size=(5, 6), mode="bilinear", align_corners=True),
    "bicubic": nn.Upsample(scale_factor=1.5, mode="bicubic"),
    "softmax": nn.Softmax(1), "log softmax": nn.LogSoftmax(-1), "softmin": nn.Softmin(1),
    "relu in place": nn.ReLU(inplace=True), "relu6": nn.ReLU6(), "leaky": nn.LeakyReLU(), "prelu": nn.PReLU(4),
    "elu": nn.ELU(), "selu": nn.SELU(), "celu": nn.CELU(2.0), "gelu": nn.GELU(), "gelu tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(), "mish": nn.Mish(), "hardswish": nn.Hardswish(), "hardsigmoid": nn.Hardsigmoid(),
    "hardtanh": nn.Hardtanh(-0.5, 0.5),
    "softplus": nn.Softplus(2.0), "softsign": nn.Softsign(), "softshrink": nn.Softshrink(), "tanhshrink": nn.Tanhshrink(),
    "log sigmoid": nn.LogSigmoid(), "threshold": nn.Threshold(0.1, 1.0), "glu": nn.GLU(dim=1), "dropout": nn.Dropout(),
    "flatten": nn.Flatten(), "unflatten": nn.Unflatten(1, (2, 2)), "shuffle": nn.PixelShuffle(2),
    "unshuffle": nn.PixelUnshuffle(2), "channels": nn.ChannelShuffle(2), "zero pad": nn.ZeroPad2d((1, 0, 2, 1)),
    "reflection pad": nn.ReflectionPad2d(1), "circular pad": nn.CircularPad2d(1), "linear": nn.Linear(8, 3, bias=False),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_whose_batch_varies(name):
    check(LAYERS[name], tensors(PICTURE), others=tensors((3, *PICTURE[1:]), seed=1), dynamic_shapes=({0: "batch"},))


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
@pytest.mark.parametrize("name", ["softmax", "layer norm", "group norm", "hardswish", "gelu", "relu6", "zero pad", "mish",
                                  "rms norm", "glu", "linear"])
def test_a_layer_for_an_operator_set(name, opset):
    # ONNX's evaluator gives operators of old sets their newest meaning: softmax, padding.
    proto = check(LAYERS[name], tensors(PICTURE), opset_version=opset, reference=opset >= 13)
    assert proto.opset_import[0].version == opset


@pytest.mark.parametrize("layer", [
    nn.LSTM(4, 3), nn.LSTM(4, 3, 2, bidirectional=True, batch_first=True), nn.GRU(4, 3, 2, bidirectional=True), nn.RNN(4, 3)])
def test_recurrent_layers(layer):
    check(layer, tensors((5, 2, 4)), others=tensors((6, 3, 4), seed=1), dynamic_axes={"input": {0: "first", 1: "second"}},
          reference=layer.num_layers == 1)


def test_verify_compares_the_graph_with_the_model():
    class Counts(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x * self.calls

    x = tensors((2, 4))
    for settings in ({}, {"export_params": False}):
        clgrad.onnx.export(nn.Linear(4, 3), x, verify=True, **settings)
    with pytest.raises(OnnxExporterError, match="the graph's output 'output' differs from the model's"):
        clgrad.onnx.export(Counts(), x, verify=True)


@pytest.mark.parametrize("cell", [nn.LSTMCell(4, 3), nn.GRUCell(4, 3), nn.RNNCell(4, 3)])
def test_recurrent_steps(cell):
    check(cell, tensors((2, 4)), others=tensors((3, 4)), dynamic_axes={"input": {0: "batch"}})


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x):
        return self.attention(x, x, x)


@pytest.mark.parametrize("model", [
    Attends(), nn.TransformerEncoderLayer(4, 2, 8, norm_first=True, activation="gelu"),
    nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8), 2)])
def test_attention_over_sequences_and_batches_that_vary(model):
    name = "x" if isinstance(model, Attends) else "src"
    check(model, tensors((5, 2, 4)), others=tensors((6, 3, 4), seed=1), dynamic_axes={name: {0: "steps", 1: "batch"}})


def test_embeddings():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(7, 4), nn.Embedding(9, 4)

        def forward(self, x):
            return self.words(x) + self.places(clgrad.arange(x.shape[1]))
    check(Words(), (clgrad.tensor([[1, 2, 3], [4, 5, 6]]),), others=(clgrad.tensor([[0, 1, 2, 3, 4]]),),
          dynamic_axes={"x": [0, 1]})


class Net(nn.Module):
    """What programs do beside layers."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 6 * 6, 5)
        self.register_buffer("scale", clgrad.tensor([2.0]))

    def forward(self, x):
        h = F.relu(self.conv(x * self.scale), inplace=True)
        h += 1
        return self.fc(h.view(x.size(0), -1)), h.mean((2, 3))


def test_a_program_with_names():
    model = Net()
    proto = check(model, tensors((2, 1, 8, 8)), others=tensors((5, 1, 8, 8)), input_names=["picture"],
                  output_names=["scores", "means"], dynamic_axes={"picture": {0: "n"}, "scores": {0: "n"}})
    assert [value.name for value in proto.graph.input] == ["picture"]
    assert [value.name for value in proto.graph.output] == ["scores", "means"]
    assert {"conv.weight", "conv.bias", "fc.weight", "fc.bias", "scale"} <= {t.name for t in proto.graph.initializer}
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "n"
    back = clgrad.onnx.load(proto)
    assert set(model.state_dict()) <= set(back.state_dict())


OPERATIONS = {
    "in place through a view": lambda x: _in_place(x),
    "several results": lambda x: x.max(-1),
    "chunks": lambda x: x.chunk(2, 1),
    "indexing": lambda x: (x[:, 0], x[..., None, :, 1], x[:, ::2], x[-1], x[:, 1:-1]),
    "a mask": lambda x: clgrad.where(x > 0, x, clgrad.zeros_like(x)) + x.masked_fill(x > 1, 0.0),
    "reductions": lambda x: (x.sum((0, 1)), x.std(), x.var(1, keepdim=True), x.norm(dim=1), x.amax(0), x.prod(2)),
    "axes": lambda x: (x.transpose(1, 2), x.permute(2, 0, 1).reshape(x.shape[2], -1), x.unsqueeze(1).squeeze(1), x.flip(0)),
    "joining": lambda x: (clgrad.cat([x, x * 2], 1), clgrad.stack([x, -x], 1), x.repeat(2, 1, 1), x.expand(2, *x.shape)),
    "arithmetic": lambda x: (1 - x) / (x * x + 2) + x.abs().sqrt() ** 3 - x.exp().clamp(0.5, 2.0).log() + x.round(),
    "integers": lambda x: (x * 10).long() // 3 + (x > 0).int(),
    "sorting": lambda x: (x.sort(1)[0], x.topk(2)[0], x.argmax(1), x.cumsum(1)),
    "products": lambda x: (x @ x.transpose(1, 2), clgrad.einsum("abc,adc->abd", x, x), F.normalize(x, dim=-1)),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "operators taken apart": lambda x: (F.mse_loss(x, x * 2), clgrad.heaviside(x, x * 0), clgrad.hstack([x, x]),
                                        F.smooth_l1_loss(x, x * 2)),
    "lists and tensors": lambda x: (x[:, [0, 2]], x[clgrad.tensor([0, 1]), clgrad.tensor([2, 3])], x[clgrad.tensor([1])]),
    "windows": lambda x: (x.unfold(1, 2, 1), F.unfold(x[:, None], 2, padding=1), x.repeat_interleave(2, 1)),
    "norms": lambda x: (clgrad.linalg.norm(x, dim=1), clgrad.std_mean(x, 1), clgrad.linalg.vector_norm(x, 1)),
    "losses": lambda x: (F.cross_entropy(x, clgrad.ones(2, 3, dtype=clgrad.int64)), clgrad.lerp(x, x * 2, 0.3)),
    "other norms": lambda x: (x.norm(float("inf"), 1), x.norm(3, 1), clgrad.norm(x, dtype=clgrad.float64)),
    "masks beside other indices": lambda x: (x[x[:, :, 0] > 0, 1], x[x[:, 0, 0] > -9, :, 1], x[x[:, 0, 0] > -9, 1:, None]),
    "thresholds": lambda x: (F.softplus(x * 9, 1, 1.0), F.softplus(x * 9, 2.0, 1.0)),
    "odd power means": lambda x: (F.lp_pool1d(x, 1, 2), F.lp_pool1d(x.abs(), 3, 2, ceil_mode=True)),
    "floating results of integers": lambda x: [f((x * 9).long().abs() + 1) for f in (
        clgrad.log1p, clgrad.log2, clgrad.log10, clgrad.exp2, clgrad.expm1, clgrad.erfc)],
    "extremes of truths": lambda x: ((x > 0).amax(1), (x > 0).amin(1)),
    "dropout that is off by default": lambda x: F.alpha_dropout(x) + F.dropout(x, training=False),
    "writing by masks": lambda x: _written_by_masks(x),
    "padding": lambda x: (F.pad(x, (1, 2)), F.pad(x, (1, 1), mode="replicate"), x.roll(1, 1), x.tril()),
}


def _in_place(x):
    y = x.relu()
    y[:, 0] += 1
    z = x * 2
    z[0].mul_(3)
    z.view(-1)[3:5] = 7
    masked = z.clone()
    masked[masked > 0] = 1
    return y, z, masked


def _written_by_masks(x):
    y = x.clone()
    y[y > 0] = 0
    y[x[:, 0, 0] > -9] = 7.0
    return y


class Operation(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_without_a_layer(name):
    check(Operation(OPERATIONS[name]), tensors((2, 4, 3)), others=tensors((2, 4, 3), seed=1))


@pytest.mark.parametrize("name", ["indexing", "reductions", "axes", "joining", "arithmetic", "products", "attention",
                                  "padding"])
def test_an_operation_on_a_batch_that_varies(name):
    check(Operation(OPERATIONS[name]), tensors((2, 4, 3)), others=tensors((5, 4, 3), seed=1), dynamic_axes={"x": {0: "n"}})


def test_ranges_of_sizes_that_vary():
    def ranges(x):
        n = x.shape[0]
        return clgrad.arange(n), clgrad.arange(1, n), clgrad.arange(end=n), clgrad.arange(0, end=n, step=2), x
    check(Operation(ranges), tensors((2, 3)), others=tensors((5, 3)), dynamic_axes={"x": {0: "n"}})


def test_writing_to_a_part_of_a_batch_that_varies():
    def write(x):
        y = x.clone()
        y[:, 1] = 0
        y[:, 2:, 0] += x[:, 2:, 1]
        return y
    check(Operation(write), tensors((2, 4, 3)), others=tensors((5, 4, 3), seed=1), dynamic_axes={"x": {0: "n"}})


def test_pictures_of_sizes_that_vary():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.up = nn.Conv2d(1, 2, 3, 2, 1), nn.Conv2d(2, 1, 1)

        def forward(self, x):
            small = self.down(x)
            large = F.interpolate(self.up(small), size=x.shape[-2:], mode="bilinear", align_corners=False)
            return large, small.flatten(2)
    check(Decoder(), tensors((1, 1, 8, 6)), others=tensors((1, 1, 9, 12)), dynamic_axes={"x": {2: "height", 3: "width"}})


def test_a_vision_model():
    model = clgrad.vision.models.LeNet()
    check(model, tensors((2, 1, 32, 32)), others=tensors((3, 1, 32, 32)),
          dynamic_shapes=({0: "batch"},))


def test_files(tmp_path):
    model, args = Net().eval(), tensors((1, 1, 8, 8))
    expected = model(*args)[0].detach().numpy()
    assert clgrad.onnx.export(model, args, tmp_path / "a.onnx", dynamo=False) is None
    buffer = io.BytesIO()
    clgrad.onnx.export(model, args, buffer)
    clgrad.onnx.export(model, args, tmp_path / "b.onnx", external_data=True)
    assert (tmp_path / "b.onnx.data").exists()
    for f in (tmp_path / "a.onnx", buffer.getvalue(), tmp_path / "b.onnx"):
        np.testing.assert_allclose(clgrad.onnx.load(f)(*args)[0].detach().numpy(), expected, atol=1e-5)


def test_parameters_as_inputs():
    args = tensors((1, 1, 8, 8))
    proto = clgrad.onnx.export(Net(), args, keep_initializers_as_inputs=True).model_proto
    assert {"x", "conv.weight"} <= {value.name for value in proto.graph.input}
    proto = clgrad.onnx.export(Net(), args, export_params=False).model_proto
    assert "conv.weight" not in {t.name for t in proto.graph.initializer}


def test_the_model_is_left_as_it_was():
    model = Net().train()
    x = clgrad.ones(1, 1, 8, 8)
    seen = []
    model.register_forward_hook(lambda *_: seen.append(clgrad.onnx.is_in_onnx_export()))
    clgrad.onnx.export(model, x, training=clgrad.onnx.TrainingMode.EVAL)
    assert seen == [True]
    assert model.training
    assert not clgrad.onnx.is_in_onnx_export()
    assert x.sum().item() == 64


def test_named_arguments():
    class Two(nn.Module):
        def forward(self, a, b=None, *, factor=1.0):
            return a + b * factor
    a, b = tensors((2,), (2,))
    for args, kwargs in (((a, {"b": b, "factor": 2.0}), None), ((a,), {"b": b, "factor": 2.0})):
        own = clgrad.onnx.load(clgrad.onnx.export(Two(), args, kwargs=kwargs).model_proto)
        assert own.input_names == ["a", "b"]
        np.testing.assert_allclose(own(b=b, a=a).detach().numpy(), (a + b * 2).numpy())


def test_what_cannot_be_written():
    x = tensors((4, 4))
    with pytest.raises(UnsupportedOperatorError, match="inverse"):
        clgrad.onnx.export(Operation(clgrad.inverse), x)
    with pytest.raises(UnsupportedOperatorError, match="set 11 has no Einsum: opset_version must be at least 12"):
        clgrad.onnx.export(Operation(lambda x: clgrad.einsum("ab->ba", x)), x, opset_version=11)
    with pytest.raises(UnsupportedOperatorError, match="index_fill"):  # writes to a copy that it makes itself
        clgrad.onnx.export(Operation(lambda x: x.index_fill(1, clgrad.tensor([0]), 3.0)), x)
    with pytest.raises(OnnxExporterError, match="different results|different calls"):
        clgrad.onnx.export(Operation(lambda x: sum(row for row in x)), x, dynamic_axes={"x": [0]})
    with pytest.raises(UnsupportedOperatorError, match="max_norm"):
        clgrad.onnx.export(nn.Embedding(5, 4, max_norm=1.0), clgrad.tensor([1]))
    with pytest.raises(UnsupportedOperatorError, match="size_average and reduce"), pytest.warns(UserWarning, match="none"):
        clgrad.onnx.export(Operation(lambda x: F.cross_entropy(x, clgrad.zeros(4).long(), reduce=False)), x)
    with pytest.raises(UnsupportedOperatorError, match="arange"):
        clgrad.onnx.export(Operation(lambda x: x[:, 0] + clgrad.arange(0, len(x), 0.5)[::2]), x, dynamic_axes={"x": [0]})
    with pytest.raises(ValueError, match="opset_version"):
        clgrad.onnx.export(Operation(clgrad.relu), x, opset_version=99)
    with pytest.raises(ValueError, match="input_names"):
        clgrad.onnx.export(Operation(clgrad.relu), x, input_names=["a", "b"])


def test_a_value_that_python_looks_at_is_a_warning():
    with pytest.warns(UserWarning, match="item"):
        clgrad.onnx.export(Operation(lambda x: x * x.mean().item()), tensors((2, 2)))


PROGRAM = """
import sys
import torch
import torch.onnx
from torch import nn

model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 6 * 6, 3))
x = torch.randn(1, 1, 8, 8)
torch.onnx.export(model, x, sys.argv[1], export_params=True, opset_version=13, do_constant_folding=True,
                  input_names=["input"], output_names=["output"], training=torch.onnx.TrainingMode.EVAL,
                  dynamic_axes={"input": {0: "batch_size"}, "output": {0: "batch_size"}}, dynamo=False)
assert not torch.onnx.is_in_onnx_export()
"""


def test_a_program_for_pytorch_exports(tmp_path):
    program, path = tmp_path / "program.py", tmp_path / "model.onnx"
    program.write_text(PROGRAM)
    subprocess.run([sys.executable, "-m", "clgrad.compat", str(program), str(path)], check=True)
    assert clgrad.onnx.load(path)(clgrad.zeros(4, 1, 8, 8)).shape == (4, 3)
