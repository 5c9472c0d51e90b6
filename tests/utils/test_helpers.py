"""Tables of layers; events for TensorBoard."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.utils import collect_env, summary
from clgrad.utils.tensorboard import SummaryWriter


def test_summary(capsys):
    net = clgrad.nn.Sequential(clgrad.nn.Conv2d(1, 4, 3), clgrad.nn.BatchNorm2d(4), clgrad.nn.Sequential(clgrad.nn.ReLU()))
    net[0].weight.requires_grad_(False)
    mean = net[1].running_mean.tolist()
    found = summary(net, (2, 1, 8, 8))
    assert capsys.readouterr().out.strip() == str(found)
    assert (found.total_params, found.trainable_params) == (48, 12) and net.training and net[1].running_mean.tolist() == mean
    assert [(layer.kind, layer.depth, layer.output) for layer in found.layers] == [
        ("Sequential", 0, (2, 4, 6, 6)), ("Conv2d", 1, (2, 4, 6, 6)), ("BatchNorm2d", 1, (2, 4, 6, 6)),
        ("Sequential", 1, (2, 4, 6, 6)), ("ReLU", 2, (2, 4, 6, 6))]
    both = summary(clgrad.nn.Bilinear(2, 3, 4), input_data=[clgrad.ones(5, 2), clgrad.ones(5, 3)], verbose=0)
    assert both.layers[0].output == (5, 4)
    assert summary(clgrad.nn.Embedding(3, 2), (4,), dtypes=[clgrad.int64], verbose=0).layers[0].output == (4, 2)
    with pytest.raises(ValueError, match="input_size or input_data"):
        summary(net)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    with SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", clgrad.tensor(0.5, requires_grad=True), 1)
        writer.add_scalars("both", {"a": clgrad.tensor(1), "b": 2.0}, 1)
        writer.add_image("image", clgrad.rand(3, 4, 5), 1)
        writer.add_histogram("weights", clgrad.randn(10), 1)
        with pytest.warns(UserWarning, match="does not write graphs"):
            writer.add_graph(None)
        writer.flush()
        assert writer.log_dir == writer.get_logdir() == str(tmp_path / "run")
    files = list((tmp_path / "run").glob("events*"))
    assert len(files) == 1
    data = files[0].read_bytes()
    assert all(word in data for word in (b"loss", b"image", b"weights", np.float32(0.5).tobytes()))
    with pytest.raises(AttributeError):
        _ = writer.no_such_method


def test_a_selective_checkpoint_has_the_gradients_of_the_function():
    tools = clgrad.utils.checkpoint

    def policy(context, operator, *args, **kwargs):
        return tools.CheckpointPolicy.MUST_SAVE
    x = clgrad.tensor([0.5, 2.0], requires_grad=True)
    tools.checkpoint(lambda t: t.sin() * t, x, use_reentrant=False,
                     context_fn=lambda: tools.create_selective_checkpoint_contexts(policy)).sum().backward()
    values = np.array([0.5, 2.0])
    np.testing.assert_allclose(x.grad.numpy(), np.sin(values) + values * np.cos(values), rtol=1e-6)
    with pytest.raises(TypeError, match="either a function or a list of ops"):
        tools.create_selective_checkpoint_contexts(3)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_a_checkpoint_computes_again_in_the_dtype_of_the_first_run(use_reentrant):
    layer, seen = clgrad.nn.Linear(3, 3), []

    def function(x):
        out = layer(x)
        seen.append(out.dtype)
        return out
    x = clgrad.ones(2, 3, requires_grad=True)
    with clgrad.autocast("cpu", dtype=clgrad.bfloat16):
        out = clgrad.utils.checkpoint.checkpoint(function, x, use_reentrant=use_reentrant, early_stop=False)
    out.float().sum().backward()
    assert seen == [clgrad.bfloat16, clgrad.bfloat16]
    assert not clgrad.is_autocast_enabled("cpu")
    np.testing.assert_allclose(x.grad.numpy()[0], layer.weight.detach().sum(0).numpy(), rtol=2e-2, atol=2e-2)


def test_an_affine_grid_of_one_line_is_warned_of():
    theta = clgrad.zeros(1, 2, 3)
    with pytest.warns(UserWarning, match="See the documentation of affine_grid for details"):
        clgrad.nn.functional.affine_grid(theta, (1, 1, 2, 1), align_corners=True)


def test_the_report_of_an_environment(capsys):
    found = collect_env.get_env_info()
    assert clgrad.__version__ in found.torch_version and f"numpy=={np.__version__}" in found.pip_packages
    assert found.cuda_compiled_version is None and found.is_cuda_available == str(clgrad.cuda.is_available())
    collect_env.main()
    printed = capsys.readouterr().out
    assert found.opencl_devices in printed and "cl:0: " in found.opencl_devices and "[pip3] numpy==" in printed
