"""What programs do with the private parts of PyTorch's modules, in one process in which ``torch`` means clgrad."""

from __future__ import annotations

import pytest

from tests.compat.test_programs import run

PROGRAMS = {
    "several devices": """
        import torch
        from torch.nn.parallel.parallel_apply import parallel_apply
        from torch.nn.parallel.replicate import replicate
        from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass
        layer, x = torch.nn.Linear(2, 3), torch.ones(4, 2)
        found = parallel_apply(replicate(layer, [0, 1]), [x, (x * 2,)])
        assert torch.equal(found[0], layer(x)) and torch.equal(found[1], layer(x * 2))
        assert not is_traceable_wrapper_subclass(x) and not isinstance(x, TorchDispatchMode)
        assert torch.nn.parallel.parallel_apply([torch.clamp], [x], [{"max": 0.5}])[0].max() == 0.5
        try:
            TorchDispatchMode()
        except NotImplementedError as error:
            assert "no modes below autograd" in str(error)
        try:
            torch.nn.parallel.parallel_apply([layer], [x, x])
        except AssertionError as error:
            assert "not equal to the number of inputs 2" in str(error)
        else:
            raise RuntimeError("inputs that nobody takes were accepted")
        """,
    "parts of torch.distributed that libraries name": """
        import torch, torch.distributed as dist
        from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, post_localSGD_hook, powerSGD_hook
        from torch.distributed.algorithms.join import Join, Joinable
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, set_model_state_dict
        from torch.distributed.constants import default_pg_timeout
        from torch.distributed.distributed_c10d import _get_default_group, _rank_not_in_group
        from torch.distributed.fsdp.api import ShardedStateDictConfig
        from torch.distributed.fsdp.fully_sharded_data_parallel import FullyShardedDataParallel as FSDP, StateDictType
        from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
        from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy
        from torch.distributed.tensor.placement_types import Replicate, Shard, _StridedShard
        from torch.distributed._functional_collectives import all_to_all_single, wait_tensor
        assert Shard(1) == Shard(1) != Shard(0) and Shard(1).is_shard(1) and Replicate().is_replicate()
        assert not isinstance(torch.nn.Linear(1, 1), FSDP) and issubclass(torch.nn.parallel.DistributedDataParallel, Joinable)
        net = torch.nn.Linear(2, 1)
        net.bias.requires_grad_(False)
        assert list(get_model_state_dict(net)) == ["weight", "bias"]
        assert list(get_model_state_dict(net, options=StateDictOptions(ignore_frozen_params=True))) == ["weight"]
        set_model_state_dict(net, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)})
        assert net.weight.tolist() == [[1, 1]] and net.bias.item() == 0
        assert set_model_state_dict(net, {}, options=StateDictOptions(strict=False)).missing_keys == ["weight", "bias"]
        for refused in (lambda: FSDP(None), lambda: powerSGD_hook.PowerSGDState(None),
                        lambda: get_model_state_dict(net, submodules={net}), lambda: size_based_auto_wrap_policy()):
            try:
                refused()
                raise AssertionError
            except NotImplementedError as error:
                assert "torch.distributed." in str(error)
        dist.init_process_group("gloo", rank=0, world_size=1)
        wrapped = torch.nn.parallel.DistributedDataParallel(net)
        set_model_state_dict(wrapped, {"weight": torch.zeros(1, 2), "bias": torch.ones(1)},
                             options=StateDictOptions(broadcast_from_rank0=True))
        assert net.bias.item() == 1 and list(get_model_state_dict(wrapped)) == ["weight", "bias"]
        x = torch.arange(4.0).view(2, 2)
        assert wait_tensor(all_to_all_single(x, None, None, dist.group.WORLD)).tolist() == x.tolist()
        dist.destroy_process_group()
        """,
    "helpers of distributions and optimizers": """
        import torch
        from torch.distributions.constraints import _DependentProperty, _GreaterThan, _Interval
        assert isinstance(torch.distributions.constraints.unit_interval, _Interval)
        assert isinstance(torch.distributions.constraints.positive, _GreaterThan)
        assert isinstance(vars(torch.distributions.Categorical)["support"], _DependentProperty)
        from torch._utils import _flatten_dense_tensors, _take_tensors, _unflatten_dense_tensors
        from torch.distributions.multivariate_normal import _batch_mahalanobis, _batch_mv, _precision_to_scale_tril
        from torch.optim.optimizer import ParamsT, _use_grad_for_differentiable
        from torch.utils._contextlib import _DecoratorContextManager
        from torch.distributed.elastic.multiprocessing.errors import record
        L = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
        x = torch.tensor([[1.0, 2.0], [0.5, -1.0]])
        inverse = (L @ L.T).inverse()
        assert torch.allclose(_batch_mahalanobis(L, x), ((x @ inverse) * x).sum(-1))
        assert torch.allclose(_batch_mv(L, x), x @ L.T)
        factor = _precision_to_scale_tril(inverse)
        assert torch.allclose(factor, L, atol=1e-5)
        tensors = [torch.zeros(3), torch.ones(2, 2), torch.zeros(5, dtype=torch.float64), torch.zeros(1)]
        assert [[t.numel() for t in group] for group in _take_tensors(tensors, 20)] == [[3], [4, 1], [5]]
        assert _unflatten_dense_tensors(_flatten_dense_tensors(tensors[:2]), tensors[:2])[1].shape == (2, 2)
        class doubled(_DecoratorContextManager):
            depth = 0
            def __enter__(self): doubled.depth += 1
            def __exit__(self, *error): doubled.depth -= 1
        @record
        @doubled()
        def depth(): return doubled.depth
        assert depth() == 1 and doubled.depth == 0
        """,
    "tensors that share a storage": """
        import torch
        from safetensors.torch import _end_ptr, _remove_duplicate_names
        a, b = torch.zeros(3, 3), torch.zeros(4)
        assert _end_ptr(a) - a.data_ptr() == 36 and _end_ptr(torch.zeros(0)) == torch.zeros(0).data_ptr()
        assert _remove_duplicate_names({"B": a, "A": a, "C": b, "D": a[1]}) == {"A": ["B", "D"]}
        assert _remove_duplicate_names({"B": a, "A": a}, preferred_names=["B"]) == {"B": ["A"]}
        assert _remove_duplicate_names({"B": a, "A": a}, discard_names=["A"]) == {"B": ["A"]}
        try:
            _remove_duplicate_names({"part": a[1:]})
        except RuntimeError as error:
            assert "part" in str(error)
        else:
            raise SystemExit(1)
        """,
    "old names": """
        import torch
        assert torch.equal(torch.spmm(torch.ones(2, 2), torch.ones(2, 1)), torch.full((2, 1), 2.0))
        assert torch._cast_Long(torch.tensor(2.5)).item() == 2 and not torch.has_cuda
        torch._assert_async(torch.ones(1))
        try:
            torch._assert_async(torch.zeros(1), "none")
        except RuntimeError as error:
            assert "none" in str(error)
        else:
            raise SystemExit(1)
        assert not isinstance(torch.nn.ReLU(), torch.jit.ScriptModule)
        """,
    "classes that say whose they are": """
        import pickle, torch
        kinds = torch.Tensor, torch.dtype, torch.Size, torch.device, torch.nn.Parameter
        assert {kind.__module__ for kind in kinds} == {"torch", "torch.nn.parameter"}
        assert str(torch.Tensor) == "<class 'torch.Tensor'>"
        more = torch.nn.Module, torch.nn.Linear, torch.optim.Optimizer, torch.utils.data.Dataset
        assert [kind.__module__ for kind in more] == [
            "torch.nn.modules.module", "torch.nn.modules.linear", "torch.optim.optimizer", "torch.utils.data.dataset"]
        for package in torch.nn, torch.optim, torch.utils.data:
            own = [kind for kind in vars(package).values() if isinstance(kind, type) and kind.__module__.startswith("torch.")]
            assert len(own) > 5 and pickle.loads(pickle.dumps(own)) == own
        assert pickle.loads(pickle.dumps(kinds)) == kinds
        given = torch.nn.Parameter(torch.ones(2)), torch.Size([3]), torch.float32, torch.device("cpu")
        again = pickle.loads(pickle.dumps(given))
        assert list(map(type, again)) == list(map(type, given)) and again[1:] == given[1:] and torch.equal(again[0], given[0])
        """,
    "sparse tensors in annotations": """
        from typing import Union
        import torch
        import torch.sparse

        def apply(x: Union[torch.Tensor, torch.sparse.FloatTensor, torch.sparse.HalfTensor]):
            return isinstance(x, torch.sparse.FloatTensor)
        assert not apply(torch.ones(2)) and apply(torch.ones(2).to_sparse())
        found = torch.sparse.mm(torch.eye(2).to_sparse(), torch.ones(2, 2))
        assert torch.equal(found, torch.ones(2, 2))
        assert torch.equal(torch.ops.aten._sparse_addmm(torch.ones(2, 2), torch.eye(2).to_sparse(), found), found + 1)
        """,
    "private operators": """
        import torch
        x, odd = torch.tensor([[1.0, -2.0, 3.0], [4.0, 0.0, -1.0]]), torch.tensor([False, True, False])
        assert torch._add_relu(x, -x, alpha=2).tolist() == [[0, 2, 0], [0, 0, 1]]
        assert [t.tolist() for t in torch._aminmax(x, 1)] == [[-2, -1], [3, 4]] and torch._aminmax(x)[1] == 4
        assert torch._utils._element_size(torch.float64) == 8
        wanted = torch.tensor([[1.0, 3.0], [4.0, -1.0]]).softmax(1)
        for scores, mask, kind in ((x, odd.expand(2, 3), 2), (x, odd.expand(2, 3), 0),
                                   (x.reshape(1, 1, 2, 3), odd[None], 1)):
            found = torch._masked_softmax(scores, mask, None, kind).reshape(2, 3)
            torch.testing.assert_close(found[:, ::2], wanted)
            assert found[:, 1].tolist() == [0, 0]
        assert torch._masked_softmax(x, odd.new_ones(2, 3), 1, 2).isnan().all()
        for mask, kind in ((odd.float(), 1), (odd, None), (odd, 2)):
            try:
                torch._masked_softmax(x, mask, 1, kind)
            except RuntimeError as error:
                assert str(error).startswith(("Mask ", "For mask_type == 2"))
            else:
                raise AssertionError
        """,
    "random numbers that tests leave alone": """
        import torch
        before = torch.get_rng_state()
        with torch.testing._utils.freeze_rng_state():
            torch.rand(3)
        first, second = (torch.testing._utils.wrapper_set_seed(torch.rand, 3) for _ in range(2))
        assert torch.equal(first, second) and torch.equal(torch.get_rng_state(), before)
        """,
    "printed values": """
        import torch
        from torch._tensor_str import PRINT_OPTS, _tensor_str
        threshold = PRINT_OPTS.threshold
        torch.set_printoptions(threshold=1)
        assert threshold == 1000 and PRINT_OPTS.threshold == 1
        print(_tensor_str(torch.tensor([[1.0, 2.0]]), indent=0))
        """,
    "a tracer made of the private names": """
        import pickle, torch, torch.fx._symbolic_trace as st
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.scale = torch.nn.Linear(2, 2), torch.nn.Parameter(torch.ones(2))
            def forward(self, x):
                return math_of(self.layer(x) * self.scale.exp())
        def math_of(x): return x + 1
        def traced(net):
            class Own(st.Tracer):
                @st.compatibility(is_backward_compatible=True)
                def trace(self, root, concrete_args=None):
                    self.root, self.graph, cache = root, torch.fx.Graph(tracer_cls=type(self)), {}
                    function, args = self.create_args_for_root(type(root).forward, True, concrete_args)
                    def attribute(module, name):
                        return self.getattr(name, st._orig_module_getattr(module, name), cache)
                    def call(module, *args, **kwargs):
                        return self.call_module(module, lambda *a, **k: st._orig_module_call(module, *a, **k), args, kwargs)
                    with st._Patcher() as patcher:
                        patcher.patch_method(torch.nn.Module, "__getattr__", attribute, deduplicate=False)
                        patcher.patch_method(torch.nn.Module, "__call__", call, deduplicate=False)
                        st._patch_wrapped_functions(patcher)
                        st._autowrap_check(patcher, globals(), self._autowrap_function_ids)
                        self.create_node("output", "output", (self.create_arg(function(*args)),), {})
                    return self.graph
            return torch.fx.GraphModule(net, Own(autowrap_functions=(math_of,)).trace(net))
        net, x = Net(), torch.ones(1, 2)
        made = traced(net)
        names = [node.name for node in made.graph.nodes]
        assert names == ["x", "layer", "scale", "exp", "mul", "math_of", "output"], names
        assert torch.equal(made(x), net(x)) and math_of(1) == 2 and type(net.scale) is torch.nn.Parameter
        assert torch.equal(pickle.loads(pickle.dumps(made))(x), net(x))
        """,
}


@pytest.mark.parametrize("what", PROGRAMS)
def test_private_parts_work(tmp_path, what):
    done = run(tmp_path, PROGRAMS[what])
    assert done.returncode == 0, done.stderr
