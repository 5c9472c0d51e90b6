"""What programs for PyTorch import besides its public names, in one process in which ``torch`` means clgrad."""

from __future__ import annotations

import operator

import pytest

from clgrad.compat.standins.torch_version import TorchVersion
from tests.compat.test_programs import run

PROGRAMS = {
    "paths of trees": """
        import torch.utils._pytree as pytree
        from collections import namedtuple
        Point = namedtuple("Point", "x y")
        tree = {"a": [1, (2, 3)], "b": Point(4, 5)}
        pairs, spec = pytree.tree_flatten_with_path(tree)
        assert [pytree.keystr(path) for path, _ in pairs] == ["['a'][0]", "['a'][1][0]", "['a'][1][1]", "['b'].x", "['b'].y"]
        assert [pytree.key_get(tree, path) for path, _ in pairs] == [1, 2, 3, 4, 5]
        doubled = pytree.tree_map_with_path(lambda path, leaf, other: (len(path), leaf + other), tree, tree)
        assert doubled == {"a": [(2, 2), ((3, 4), (3, 6))], "b": Point((2, 8), (2, 10))}
        assert pytree._broadcast_to_and_flatten([1, 2], pytree.tree_structure([(0, 0), 0])) == [1, 1, 2]
        class Own:
            def __init__(self, item): self.item = item
        pytree.register_pytree_node(Own, lambda o: ([o.item], None), lambda items, _: Own(*items),
                                    flatten_with_keys_fn=lambda o: ([(pytree.GetAttrKey("item"), o.item)], None))
        assert pytree.keystr(pytree.tree_leaves_with_path(Own([7]))[0][0]) == ".item[0]"
        """,
    "modules as attributes, without an import of their own": """
        import torch, torchvision
        assert torch.utils._pytree.keystr(()) == "" and torch.nn.modules.module._EXTRA_STATE_KEY_SUFFIX
        assert not torch._C._functorch.is_batchedtensor(None) and torch._C._nn._parse_to("cpu")[1] is None
        assert issubclass(torch._dynamo.exc.Unsupported, RuntimeError) and torch._dynamo.eval_frame.OptimizedModule
        assert callable(torchvision.models.alexnet)
        """,
    "pipes by the files that they stand in, classes of graphs by their name": """
        import torch
        from torch.utils.data.datapipes.iter.combinatorics import ShufflerIterDataPipe
        from torch.utils.data.datapipes.iter.selecting import FilterIterDataPipe
        from torch.utils.data.datapipes.map.utils import SequenceWrapperMapDataPipe
        from torch.utils.data.datapipes.iter import IterableWrapper
        pipe = IterableWrapper(range(5)).filter(lambda n: n % 2 == 1).shuffle()
        assert isinstance(pipe, ShufflerIterDataPipe) and isinstance(pipe.datapipe, FilterIterDataPipe)
        assert sorted(pipe) == [1, 3] and list(SequenceWrapperMapDataPipe([3, 4])) == [3, 4]
        made = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.ReLU()))
        assert "GraphModuleImpl" in str(type(made)) and type(made).__name__ == "Sequential", type(made)
        """,
    "batches that are pinned": """
        import torch
        from torch.utils.data._utils.pin_memory import pin_memory
        class Own:
            def pin_memory(self):
                return "pinned"
        made = pin_memory({"x": torch.ones(2), "own": [Own(), 3]})
        assert made["x"].tolist() == [1, 1] and made["own"] == ["pinned", 3]
        """,
    "operators and parameters of torchvision, by the names inside of it": """
        import torch, torchvision
        boxes, scores = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]]), torch.tensor([0.5, 0.9, 0.7])
        assert torch.ops.torchvision.nms(boxes, scores, 0.5).tolist() == [1, 2]
        x, rows = torch.arange(16.0).reshape(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 4, 4]])
        assert torch.ops.torchvision.roi_align(x, rows, 1.0, 2, 2, 1, True).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
        assert torch.ops.torchvision.deform_conv2d.default(
            x, torch.ones(1, 1, 2, 2), torch.zeros(1, 8, 3, 3), torch.empty(0), None, 1, 1, 0, 0, 1, 1, 1, 1, False)[
            0, 0, 0].tolist() == [10, 14, 18]
        net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2), torch.nn.LayerNorm(3))
        norms, others = torchvision.ops._utils.split_normalization_params(net)
        assert [list(p.shape) for p in norms] == [[2], [2], [3], [3]] and len(others) == 2
        from torchvision.ops._utils import convert_boxes_to_roi_format
        assert convert_boxes_to_roi_format([boxes[:1], boxes[1:]])[:, 0].tolist() == [0, 1, 1]
        """,
    "what the library was built with, and switches of its backends": """
        import torch, torchvision
        assert not torch._C._is_tracing() and not torchvision._is_tracing() and torch._C.has_lapack
        assert torch.has_lapack and not torch._C.has_mkl
        assert not torch.backends.flags_frozen()
        with torch.backends.mkldnn.flags(enabled=False):
            assert not torch.backends.mkldnn.enabled
        assert torch.backends.mkldnn.enabled
        """,
    "parts of modules that are files here": """
        import torch, torch.jit.annotations, torch._dynamo.eval_frame, torch.fx.experimental.symbolic_shapes as shapes
        from torch.fx.experimental.proxy_tensor import get_proxy_mode, make_fx
        from torch._C._nn import _parse_to, gelu
        from torch._C._functorch import is_batchedtensor
        from torch.hub import urlparse, HASH_REGEX
        @torch.cuda.nvtx.range("a name")
        def named():
            return 1
        try:
            named()
            raise SystemExit("entered")
        except RuntimeError as error:
            assert "NVTX" in str(error)
        from torchvision.models.vgg import VGG, make_layers, VGG11_Weights
        from torchvision.models.efficientnet import EfficientNet, MBConvConfig, EfficientNet_B0_Weights
        from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3_ResNet50_Weights
        from torchvision.models.mobilenetv2 import InvertedResidual, MobileNet_V2_Weights
        from torchvision.models._api import WeightsEnum, register_model
        assert get_proxy_mode() is None and shapes.guard_or_false(3 > 2) and not is_batchedtensor(torch.ones(1))
        assert not isinstance(torch.nn.Linear(1, 1), torch._dynamo.eval_frame.OptimizedModule)
        assert _parse_to("cpu", torch.float64, True) == (torch.device("cpu"), torch.float64, True, None)
        assert torch.equal(gelu(torch.ones(2)), torch.nn.functional.gelu(torch.ones(2)))
        try:
            make_fx(lambda x: x)
        except NotImplementedError as error:
            print("make_fx" in str(error))
        """,
    "versions, and functions that set initial values": """
        import torch
        from torch.torch_version import TorchVersion
        from torch.overrides import TorchFunctionMode
        assert torch.__version__ >= (1, 13) and torch.__version__ > "2.9" and torch.__version__ < "10.0"
        assert torch.__version__.startswith("2.") and isinstance(torch.__version__, TorchVersion)
        class Empty(TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                if func.__module__ == "torch.nn.init":
                    return args[0]
                return func(*args, **(kwargs or {}))
        state = torch.get_rng_state()
        with Empty():
            torch.nn.Linear(2, 2)
        assert torch.equal(torch.get_rng_state(), state)
        """,
    "names of quantization": """
        import torch
        from torch.ao.quantization import FakeQuantizeBase, ObserverBase
        x, layer = torch.ones(1), torch.nn.Linear(1, 1)
        assert torch.quantization.QuantStub()(x) is x and torch.ao.quantization.DeQuantStub()(x) is x
        assert not isinstance(layer, (FakeQuantizeBase, ObserverBase))
        for get in (lambda: torch.ao.quantization.prepare, lambda: torch.quantization.convert):
            try:
                get()
            except AttributeError as error:
                assert "clgrad has no quantization" in str(error)
        """,
    "names of several processes": """
        import torch
        from torch.distributed._tensor.experimental import implicit_replication
        from torch.distributed._composable.fsdp import FSDPModule
        from torch.utils.tensorboard.writer import SummaryWriter
        from torch.distributed.tensor import DTensor, Shard, Placement
        from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
        from torch.distributed.fsdp import FullyShardedDataParallel
        assert torch.distributed.device_mesh.DeviceMesh is DeviceMesh and issubclass(Shard, Placement)
        assert not isinstance(torch.ones(1), DTensor)
        for refused in (lambda: DTensor(0), lambda: init_device_mesh("cpu", (2,)), lambda: FullyShardedDataParallel(None)):
            try:
                refused()
            except NotImplementedError as error:
                assert "every process of clgrad holds whole tensors" in str(error)
            else:
                raise AssertionError
        """,
    "functorch": """
        import torch
        from functorch import combine_state_for_ensemble, grad, make_functional, make_functional_with_buffers, vmap
        x, model = torch.ones(2, 3), torch.nn.Linear(3, 1)
        function, params = make_functional(model)
        assert params[0] is model.weight and torch.equal(function(params, x), model(x))
        assert all(p.is_meta for p in function.parameters()) and function.param_names == ("weight", "bias")
        from functorch.experimental import chunk_vmap
        assert torch.equal(chunk_vmap(torch.sin, chunks=2)(x), x.sin())
        slope = grad(lambda p: function(p, x).sum())(params)
        assert torch.equal(slope[0], torch.full((1, 3), 2.0)) and model.weight.grad is None
        norm = torch.nn.BatchNorm1d(3).eval()
        function, params, buffers = make_functional_with_buffers(norm)
        assert torch.equal(function(params, buffers, x), norm(x)) and len(buffers) == 3
        models = [torch.nn.Linear(3, 1) for _ in range(4)]
        function, params, buffers = combine_state_for_ensemble(models)
        together = vmap(function, in_dims=(0, 0, None))(params, buffers, x)
        assert torch.allclose(together, torch.stack([m(x) for m in models]))
        try:
            make_functional(norm)
        except RuntimeError as error:
            assert "has buffers" in str(error)
        else:
            raise AssertionError
        """,
    "operators by name": """
        import torch
        x = torch.arange(6.0).view(2, 3)
        aten = torch.ops.aten
        assert torch.equal(aten.slice.Tensor(x, 1, 0, 2), x[:, :2])
        picture, weight = torch.arange(16.0).view(1, 1, 4, 4), torch.ones(2, 1, 3, 3)
        made = aten._convolution.default(picture, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, False, False, True,
                                         True)
        assert torch.equal(made, torch.nn.functional.conv2d(picture, weight, padding=1))
        assert torch.equal(aten.index.Tensor(x, [None, torch.tensor([2])]), x[:, [2]])
        assert aten._to_copy.default(x, dtype=torch.float64).dtype is torch.float64
        image = x.view(1, 1, 2, 3)
        assert aten._upsample_bilinear2d_aa(image, [1, 2], False).shape == (1, 1, 1, 2)
        assert aten._upsample_bicubic2d_aa.default(image, [1, 2], False).shape == (1, 1, 1, 2)
        assert len(aten._batch_norm_with_update(image, None, None, torch.zeros(1), torch.ones(1), 0.1, 1e-5)) == 4
        @torch.library.custom_op("mine::twice", mutates_args=())
        def twice(x: torch.Tensor, times: float = 2.0) -> torch.Tensor:
            return x * times
        assert torch.equal(torch.ops.mine.twice(x), 2 * x) and torch.equal(torch.ops.mine.twice.default(x, 3.0), 3 * x)
        """,
    "groups of tensors": """
        import torch
        from torch.utils._foreach_utils import _group_tensors_by_device_and_dtype
        a, b, c = torch.ones(1), torch.ones(1, dtype=torch.float64), torch.ones(1)
        groups = _group_tensors_by_device_and_dtype([[a, b, c], [1, 2, 3]], with_indices=True)
        (lists, places), (others, other_places) = groups.values()
        assert lists[0][0] is a and lists[0][1] is c and lists[1] == [1, 3] and places == [0, 2] and other_places == [1]
        """,
    "files": """
        import os, tempfile, torch
        from safetensors.torch import storage_ptr, storage_size, _find_shared_tensors
        x = torch.arange(4.0)
        assert storage_size(x[:2]) == 16 and storage_ptr(x[2:]) == storage_ptr(x)
        assert sorted(map(sorted, _find_shared_tensors({"x": x, "y": x, "z": torch.ones(1)}))) == [["x", "y"], ["z"]]
        path = os.path.join(tempfile.mkdtemp(), "x.pt")
        torch.save({"x": x}, path)
        reader = torch.PyTorchFileReader(path)
        assert reader.has_record("data.pkl") and len(reader.get_record("data/0")) == 16
        """,
    "a loader of the program's own": """
        import torch
        from itertools import count
        from torch.utils.data.dataloader import _SingleProcessDataLoaderIter, _MultiProcessingDataLoaderIter, _DatasetKind
        class Own:
            _index_sampler, _auto_collation, drop_last, _dataset_kind = count(), False, False, _DatasetKind.Iterable
            dataset, collate_fn, num_workers = [3, 4], staticmethod(lambda item: item * 2), 2
        assert list(_MultiProcessingDataLoaderIter(Own())) == [6, 8] == list(_SingleProcessDataLoaderIter(Own()))
        loader = torch.utils.data.DataLoader([1, 2])
        assert isinstance(iter(loader), _SingleProcessDataLoaderIter)
        assert not isinstance(iter(loader), _MultiProcessingDataLoaderIter)
        """,
    "helpers that layers of a program's own are written with": """
        import torch, torch.nn.functional as F
        from torch.nn.common_types import _size_2_t
        from torch.nn.modules.transformer import _get_activation_fn, _get_clones
        from torch.nn.modules.conv import _ConvTransposeNd
        from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
        from torch.nn.modules.normalization import _shape_t
        from torch.nn.modules.module import _addindent
        from torch.nn.modules.transformer import _detect_is_causal_mask, _generate_square_subsequent_mask, _get_seq_len
        from torch.nn.modules.utils import _list_with_default, _reverse_repeat_tuple, consume_prefix_in_state_dict_if_present
        assert len(_get_clones(torch.nn.ReLU(), 3)) == 3 and _get_activation_fn("relu") is F.relu
        assert _list_with_default([None, 3], [4, 5, 6]) == [5, 3] and _reverse_repeat_tuple((1, 2), 2) == (2, 2, 1, 1)
        assert _addindent("a\\nb", 2) == "a\\n  b" and F._Reduction.get_enum("sum") == 2
        weights = {"module.a.b": 1, "module.c": 2}
        consume_prefix_in_state_dict_if_present(weights, "module.")
        assert weights == {"a.b": 1, "c": 2}
        x, w, b = torch.randn(2, 4), torch.randn(12, 4), torch.randn(12)
        whole = F.linear(x, w, b).chunk(3, -1)
        assert all(map(torch.allclose, F._in_projection_packed(x, x, x, w, b), whole))
        assert all(map(torch.allclose, F._in_projection(x, x, x, *w.chunk(3), *b.chunk(3)), whole))
        causal, x = _generate_square_subsequent_mask(4), torch.zeros(3, 4, 8)
        assert _get_seq_len(x, True) == 4 and _get_seq_len(x, False) == 3 and isinstance(torch.nn.ConvTranspose1d(1, 1, 1),
                                                                                         _ConvTransposeNd)
        assert _detect_is_causal_mask(causal, size=4) and not _detect_is_causal_mask(causal * 0)
        mask = F._canonical_mask(causal < 0, "mask", F._none_or_dtype(None), "", torch.float32)
        assert mask.tolist() == causal.tolist() and F._mha_shape_check(x, x, x, None, mask, 2)
        """,
    "marks for a compiler": """
        import torch
        x = torch.ones(2, 3)
        torch._dynamo.mark_static_address(x)
        torch._dynamo.mark_static_address(x, guard=True)
        torch._dynamo.mark_static(x)
        torch._dynamo.mark_static(x, 0)
        torch._dynamo.mark_dynamic(x, [0, 1], min=2)
        torch._dynamo.maybe_mark_dynamic(x, 0)
        """,
    "extensions in C++, which a program can go without": """
        import torch
        from torch.utils.cpp_extension import CUDA_HOME, BuildExtension, CUDAExtension, load
        assert torch.utils.cpp_extension.load is load
        for build in (lambda: load("own", ["own.cpp"]), lambda: CUDAExtension("own", []), BuildExtension):
            try:
                build()
            except NotImplementedError as error:
                assert "are OpenCL C" in str(error)
            else:
                raise AssertionError("something was built")
        assert CUDA_HOME is None
        """,
    "types of storages": """
        import torch
        from torch.serialization import normalize_storage_type
        assert normalize_storage_type(torch.FloatStorage) is torch.FloatStorage
        """,
    "devices of what is made": """
        import torch, torch.utils._device
        made = torch.utils._device._device_constructors()
        assert torch.zeros in made and torch.tensor in made and torch.sin not in made
        with torch.utils._device.DeviceContext("meta"):
            assert torch.ones(2).device.type == "meta"
        """,
    "settings of compilers": """
        import torch, torch._inductor.config as config
        import torch._dynamo.config
        config.coordinate_descent_tuning = True
        torch._inductor.config.triton.unique_kernel_names = False
        torch._dynamo.config.suppress_errors = True
        assert config is torch._inductor.config and config.coordinate_descent_tuning
        with config.patch("triton.unique_kernel_names", True), config.patch({"fx_graph_cache": True}):
            assert config.triton.unique_kernel_names and config.fx_graph_cache
        assert not config.triton.unique_kernel_names and not config.fx_graph_cache
        @torch._dynamo.config.patch(recompile_limit=3)
        def limit(): return torch._dynamo.config.recompile_limit
        assert limit() == 3 and torch._dynamo.config.recompile_limit == 8
        assert not hasattr(config, "nowhere")
        """,
    "running totals by a function": """
        import torch
        from torch._higher_order_ops.associative_scan import associative_scan
        def recurrence(left, right):
            return {"a": left["a"] * right["a"], "b": right["a"] * left["b"] + right["b"]}
        for n in (1, 2, 3, 4, 7, 8):
            a, b = torch.rand(2, n, 3, requires_grad=True), torch.rand(2, n, 3)
            found = associative_scan(recurrence, {"a": a, "b": b}, dim=1, combine_mode="generic")
            state, states = torch.zeros(2, 3), []
            for k in range(n):
                state = a[:, k] * state + b[:, k]
                states.append(state)
            expected = torch.stack(states, 1)
            assert torch.allclose(found["b"], expected)
            got, wanted = (torch.autograd.grad(y.sum(), a)[0] for y in (found["b"], expected)) if n > 1 else (a, a)
            assert torch.allclose(got, wanted, atol=1e-6)
            assert torch.allclose(associative_scan(torch.add, b, -2, reverse=True), b.flip(1).cumsum(1).flip(1))
        for wrong in (lambda: associative_scan(1, b, 0), lambda: associative_scan(torch.add, b, 0, combine_mode="other"),
                      lambda: associative_scan(torch.add, torch.ones(0, 2), 0)):
            try:
                wrong()
            except ValueError:
                continue
            raise RuntimeError("accepted")
        """,
    "names that modules share": """
        import torch
        from torch import TensorType, ListType
        from torch.autograd import handle_torch_function, has_torch_function
        from torch.distributed import DeviceMesh, init_device_mesh
        from torch.amp.grad_scaler import GradScaler, OptState
        from torch.nn.functional import Tensor
        from torch.nn.modules.module import Module, OrderedDict, Parameter
        from torch.optim.lr_scheduler import Optimizer, StepLR
        from torch.utils.data.dataloader import Dataset, RandomSampler, Sampler
        assert Tensor is torch.Tensor and Parameter is torch.nn.Parameter and Optimizer is torch.optim.Optimizer
        assert Dataset is torch.utils.data.Dataset and issubclass(RandomSampler, Sampler)
        assert TensorType is torch._C.TensorType and not isinstance(torch.ones(1), TensorType) and TensorType is not ListType
        assert not has_torch_function((torch.ones(1),))
        assert torch.cuda._initialized == torch.cuda.is_initialized()
        assert not hasattr(torch.cuda, "nosuch")
        assert [state.name for state in OptState] == ["READY", "UNSCALED", "STEPPED"]
        torch.cuda._lazy_init()
        assert torch.backends.cuda.preferred_linalg_library("magma") == "default"
        assert not torch.backends.cuda.is_flash_attention_available()
        try:
            torch.backends.cuda.preferred_linalg_library("nosuch")
        except RuntimeError as error:
            assert "Choose from" in str(error)
        else:
            raise RuntimeError("accepted")
        """,
}


VERSIONS = ["2.13.0", "2.13", "2.9", "2.13.0+cpu", "2.13.0+zzz", "2.13.0+cpu.4", "2.13.0.dev2024", "2.14.0rc1",
            "2.13.0a0+git12", "2.13.0.post1", "parrot", "v2.1", "10.0"]


@pytest.mark.parametrize("version", VERSIONS)
def test_versions_are_compared_as_pytorch_does(torch, version):
    for other in (*VERSIONS, (2, 13), (2, 9, 1), (3,), [2, 13, 0]):
        for compare in (operator.lt, operator.le, operator.eq, operator.ge, operator.gt, operator.ne):
            results = []
            for kind in (TorchVersion, torch.torch_version.TorchVersion):
                try:
                    results.append(compare(kind(version), other))
                except TypeError:
                    results.append(TypeError)
            assert results[0] == results[1], (version, compare, other)
    assert hash(TorchVersion(version)) == hash(version)


@pytest.mark.parametrize("what", PROGRAMS)
def test_names_behind_the_public_ones(tmp_path, what):
    done = run(tmp_path, PROGRAMS[what])
    assert done.returncode == 0, done.stderr
