"""Which module of clgrad stands for which module of PyTorch."""

from __future__ import annotations

import importlib.util

ROOTS = {"torch": "clgrad", "torchvision": "clgrad.vision"}
_STANDINS = "clgrad.compat.standins"

# Modules whose names differ; all others have PyTorch's.
RENAMED = {
    "torch.version": f"{_STANDINS}.version",
    "torch.torch_version": f"{_STANDINS}.torch_version",
    **{f"torch.distributed.{name}": "clgrad.distributed" for name in ("distributed_c10d", "constants")},
    "torch.distributed.nn.functional": "clgrad.distributed.nn",
    **{f"torch.distributed.{name}": f"{_STANDINS}.distributed.{name}" for name in (
        "device_mesh", "elastic", "fsdp", "rpc", "tensor")},
    **{f"torch.distributed.fsdp.{name}": f"{_STANDINS}.distributed.fsdp" for name in (
        "api", "fully_sharded_data_parallel", "sharded_grad_scaler", "wrap")},
    **{f"torch.distributed.checkpoint{name}": f"{_STANDINS}.distributed.checkpoint" for name in (
        "", ".default_planner", ".format_utils", ".hf_storage", ".optimizer", ".state_dict", ".state_dict_loader",
        "._consolidate_hf_safetensors")},
    "torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook": f"{_STANDINS}.distributed.power_sgd",
    "torch.distributed.tensor.placement_types": f"{_STANDINS}.distributed.tensor",
    "torch.distributed._functional_collectives": f"{_STANDINS}.distributed.functional_collectives",
    "torch.distributed._tensor": f"{_STANDINS}.distributed.tensor",
    "torch.distributed._composable": f"{_STANDINS}.distributed",
    "torch._C": f"{_STANDINS}.c_library",
    "torch._C._nn": "clgrad.nn.native",
    "torch.__future__": "clgrad.__future__",
    "torch._dynamo": f"{_STANDINS}.dynamo",
    "torch._inductor": f"{_STANDINS}.inductor",
    "torch._higher_order_ops": f"{_STANDINS}.higher_order_ops",
    "torch.fx.experimental": f"{_STANDINS}.fx_experimental",
    "torch._tensor_str": f"{_STANDINS}.tensor_str",
    "torch.jit.annotations": f"{_STANDINS}.jit_annotations",
    "torch.functional": f"{_STANDINS}.functional",
    "torch.utils._foreach_utils": f"{_STANDINS}.foreach",
    "torch.autograd.profiler_util": "clgrad.profiler",
    "torch.nn.modules.utils": f"{_STANDINS}.ntuple",
    "torch.autograd.variable": "clgrad.autograd",
    "torch.utils.cpp_extension": f"{_STANDINS}.cpp_extension",
    "torch.utils._device": f"{_STANDINS}.device_context",
    "torch.utils._pytree": f"{_STANDINS}.pytree",
    "torch.utils._python_dispatch": f"{_STANDINS}.python_dispatch",
    "torch.ao": f"{_STANDINS}.ao",
    "torch.quantization": f"{_STANDINS}.ao.quantization",
    "torch.utils.tensorboard.writer": "clgrad.utils.tensorboard",
    "torch.utils.model_zoo": "clgrad.hub",
    "torch.__config__": f"{_STANDINS}.config",
    "torch.ops": f"{_STANDINS}.ops",
    "torch._subclasses": f"{_STANDINS}.fake_tensor",
    "torch.utils.data.dataloader": f"{_STANDINS}.dataloader",
    "torch.utils.data._utils": "clgrad.utils.data",
    "torch.utils.data._utils.collate": "clgrad.utils.data.collate",
    "torch.utils.data._utils.pin_memory": f"{_STANDINS}.pin_memory",
    "torch.optim._functional": f"{_STANDINS}.optimizer_functions",
    "torch.testing._utils": f"{_STANDINS}.testing_utils",
    "torch.testing._comparison": "clgrad.testing.close",
    "torch._utils": "clgrad.rebuilding",
    "torch.fx._symbolic_trace": f"{_STANDINS}.fx_symbolic_trace",
    "torch._six": f"{_STANDINS}.six",
    "torch._tensor": "clgrad.tensor",
    "torch._VF": "clgrad",
    "torch._jit_internal": f"{_STANDINS}.jit_internal",
    "torch._vmap_internals": "clgrad.func",
    **{f"torch.{name}": "clgrad" for name in ("_linalg_utils", "_lobpcg", "_lowrank")},
    "torch.cpu.amp": f"{_STANDINS}.cpu_amp",
    "torch.cuda.nvtx": f"{_STANDINS}.nvtx",
    **{f"torch.cuda.{name}": "clgrad.cuda" for name in ("memory", "random", "streams")},
    "torch.nn._reduction": f"{_STANDINS}.reduction",
    "torch.nn.common_types": f"{_STANDINS}.common_types",
    "torch.utils._contextlib": f"{_STANDINS}.contexts",
    "torch.nn.modules.module": f"{_STANDINS}.module",
    **{f"torch.distributions.{name}": "clgrad.distributions" for name in (
        "bernoulli", "beta", "binomial", "categorical", "cauchy", "chi2", "dirichlet", "exponential", "fishersnedecor",
        "geometric", "gumbel", "half_cauchy", "half_normal", "independent", "kumaraswamy", "laplace",
        "log_normal", "logistic_normal", "lowrank_multivariate_normal", "mixture_same_family", "multinomial",
        "multivariate_normal", "negative_binomial", "normal", "one_hot_categorical", "pareto", "poisson",
        "relaxed_bernoulli", "relaxed_categorical", "studentT", "transformed_distribution", "uniform", "von_mises",
        "weibull")},
    **{f"torch.nn.modules.{name}": "clgrad.nn.modules" for name in (
        "activation", "adaptive", "batchnorm", "channelshuffle", "container", "conv", "fold", "instancenorm", "linear",
        "loss", "pixelshuffle", "rnn", "transformer", "upsampling")},
    **{f"torch.utils.data.{name}": "clgrad.utils.data" for name in ("dataset", "sampler", "distributed")},
    **{f"torch.utils.data.datapipes.iter.{name}": "clgrad.utils.data.datapipes.iter" for name in (
        "callable", "combinatorics", "filelister", "fileopener", "selecting", "sharding", "streamreader", "utils")},
    **{f"torch.utils.data.datapipes.map.{name}": "clgrad.utils.data.datapipes.map" for name in (
        "callable", "combinatorics", "combining", "grouping", "utils")},
    **{f"torchvision.datasets.{name}": "clgrad.vision.datasets" for name in (
        "fakedata", "vision")},
    **{f"torchvision.models.{name}": f"clgrad.vision.models{own}" for name, own in {
        "alexnet": "", "googlenet": "", "squeezenet": "", "mobilenetv2": ".mobilenet", "_api": ".weights"}.items()},
    "torchvision.transforms._presets": "clgrad.vision.transforms.presets",
    "torchvision.models.vgg": f"{_STANDINS}.vgg",
    "torchvision.models._utils": f"{_STANDINS}.vision_models_utils",
    "torchvision.models.detection._utils": f"{_STANDINS}.detection_utils",
    "torchvision.ops._utils": f"{_STANDINS}.vision_ops_utils",
    **{f"torchvision.ops.{name}": f"clgrad.vision.ops.{own}" for name, own in {
        "_box_convert": "boxes", "ciou_loss": "losses", "diou_loss": "losses", "drop_block": "drop", "focal_loss": "losses",
        "giou_loss": "losses"}.items()},
    "safetensors.torch": f"{_STANDINS}.safetensors",
    "functorch": f"{_STANDINS}.functorch",
    "functorch.experimental": f"{_STANDINS}.functorch_experimental",
}

# The kinds of TorchScript's values, for each of which there is a class in ``torch`` and ``torch._C``.
SCRIPT_TYPES = ("Any", "Bool", "Class", "Complex", "DeviceObj", "Dict", "Enum", "Float", "Future", "Int", "Interface", "List",
                "None", "Number", "Optional", "PyObject", "RRef", "StreamObj", "String", "SymBool", "SymInt", "Tensor",
                "Tuple", "Union")

# Names of a package that are those of a stand-in.
FROM_STANDINS = {**{f"torch.{name}": f"{_STANDINS}.c_library" for name in (
                     "DisableTorchFunction", "DisableTorchFunctionSubclass", "PyTorchFileReader", "ScriptObject", "has_cuda",
                     "has_cudnn", "has_lapack", "has_mkl", "has_mkldnn", "has_mps", "has_openmp")},
                 "torchvision._is_tracing": f"{_STANDINS}.c_library",
                 **{f"torch.{kind}Type": f"{_STANDINS}.c_library" for kind in SCRIPT_TYPES},
                 **{f"torch.{name}": "clgrad.jit" for name in ("ScriptFunction", "ScriptModule")},
                 **{f"torch.{name}": f"{_STANDINS}.root" for name in (
                     "_add_relu", "_aminmax", "_assert_async", "_cast_Byte", "_cast_Char", "_cast_Double", "_cast_Float",
                     "_cast_Half", "_cast_Int", "_cast_Long", "_cast_Short", "_masked_softmax",
                     "legacy_contiguous_format")}}

# Modules below ones that are no packages in clgrad, and those after which their package has a function: they are put in
# place when the mapping is installed, so that an import of one does not take the place of the function.
BELOW_MODULES = {**{f"torch.{name}": f"clgrad.{name}" for name in (
                     "autograd.gradcheck", "nn.utils.spectral_norm", "nn.utils.weight_norm")},
                 "torch._subclasses.fake_tensor": f"{_STANDINS}.fake_tensor",
                 "torch.cuda.amp.grad_scaler": "clgrad.amp.grad_scaler",
                 "torch.cuda.amp.autocast_mode": "clgrad.cuda.amp",
                 **{f"torch.nn.parallel.{name}": "clgrad.nn.parallel" for name in (
                     "data_parallel", "parallel_apply", "replicate")}}

# What clgrad has nothing for, with the reason.
MISSING = {
    "torch.export": "clgrad has no torch.export: torch.fx traces programs, torch.onnx writes them to files",
    "torch.nested": "clgrad has no torch.nested: tensors are strided",
}


def mapped(name: str) -> str | None:
    """The module of clgrad that stands for ``name``; None where there is none."""
    above, rest = name, ""
    while above not in RENAMED and above not in ROOTS:
        above, _, own = above.rpartition(".")
        rest = f".{own}{rest}"
    target = (RENAMED.get(above) or ROOTS[above]) + rest
    try:
        return target if importlib.util.find_spec(target) is not None else None
    except ModuleNotFoundError:
        return None
