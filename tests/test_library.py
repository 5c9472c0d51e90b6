"""Settings, random state, storages, memory formats, the bridge to NumPy: the same programs in both libraries."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import clgrad
from clgrad.nn import top_level
from tests.compare import Programs, assert_same_outcome


@pytest.fixture(autouse=True)
def _defaults(torch):
    """Each program starts from the default settings, and leaves none behind."""
    yield
    for library in (clgrad, torch):
        library.set_default_dtype(library.float32)


programs = Programs()


@programs
def default_types_and_switches(t):
    o = [t.get_default_dtype()]
    t.set_default_dtype(t.float64)
    o += [t.tensor([1.0]).dtype, t.zeros(1).dtype, t.arange(3.0).dtype, t.get_default_dtype()]
    t.set_default_dtype(t.float32)
    t.set_default_tensor_type(t.DoubleTensor)
    o.append(t.ones(1).dtype)
    t.set_default_tensor_type("torch.FloatTensor")
    o.append(t.ones(1).dtype)
    t.use_deterministic_algorithms(True)
    o.append(t.are_deterministic_algorithms_enabled())
    t.use_deterministic_algorithms(False)
    t.set_float32_matmul_precision("high")
    o.append(t.get_float32_matmul_precision())
    products = t.backends.cuda.matmul
    o.append(products.allow_tf32)
    t.set_float32_matmul_precision("highest")
    o.append(products.allow_tf32)
    for allowed in (True, False):
        products.allow_tf32 = allowed
        o.append(t.get_float32_matmul_precision())
    o += [
        t.can_cast(t.float, t.int),
        t.can_cast(t.int, t.float),
        t.promote_types(t.int, t.half),
        t.result_type(t.ones(2, dtype=t.int), 2.5),
        t.result_type(t.ones(2), t.ones((), dtype=t.float64)),
        t.result_type(1, 2.0),
        t.is_tensor(3),
        t.is_storage(3),
        t.is_floating_point(t.ones(1)),
        t.numel(t.ones(2, 3)),
        t.is_nonzero(t.tensor([1.0])),
        t.typename(t.ones(1)),
        t.typename(3),
        t.typename([]),
    ]
    return o


@programs
def default_device(t):
    o = []
    with t.device("cpu"):
        o.append(str(t.ones(1).device))
    t.set_default_device("cpu")
    o.append(str(t.get_default_device()))
    o += [
        repr(t.device("cuda:1")),
        repr(t.device("cuda", 1)),
        t.device("cpu") == t.device("cpu"),
        t.device("cpu").type,
        t.device("cuda:1").index,
        t.device("cpu").index,
        hash(t.device("cpu")) == hash(t.device("cpu")),
        str(t.device("cpu:0")),
    ]
    t.set_default_device(None)
    return o


@programs
def random_state(t):
    g = t.Generator()
    g.manual_seed(3)
    o = [g.initial_seed(), str(g.device)]
    s = g.get_state()
    a = t.rand(3, generator=g)
    g.set_state(s)
    b = t.rand(3, generator=g)
    o.append(bool((a == b).all()))
    o.append((type(g.seed()).__name__, s.dtype))
    c = g.clone_state()
    o.append(bool((t.rand(2, generator=g) == t.rand(2, generator=c)).all()))
    t.manual_seed(5)
    o.append(t.initial_seed())
    st = t.get_rng_state()
    a = t.randn(3)
    t.set_rng_state(st)
    o.append(bool((a == t.randn(3)).all()))
    with t.random.fork_rng():
        x = t.rand(2)
    o.append(bool((t.rand(2) == x).all()))
    o.append(isinstance(t.default_generator, t.Generator))
    return o


@programs
def storages(t):
    x = t.arange(6.0).reshape(2, 3)
    s = x.storage()
    u = x.untyped_storage()
    o = [
        len(s),
        sys.getsizeof(s),
        sys.getsizeof(u),
        s[1],
        s.tolist(),
        s.size(),
        s.dtype,
        s.nbytes(),
        s.element_size(),
        str(s.device),
        u.nbytes(),
        u.size(),
        len(u),
        s.data_ptr() == x.data_ptr(),
        x[1].storage().data_ptr() == x.data_ptr(),
        x[1].data_ptr() - x.data_ptr(),
        x[1].storage_offset(),
        type(s).__name__,
        type(u).__name__,
        isinstance(s, t.FloatStorage),
        isinstance(s, t.LongStorage),
        t.is_storage(s),
        t.is_storage(u),
        s.type(),
        repr(s),
        repr(t.ones(1).untyped_storage()),
    ]
    s[0] = 9
    o.append(x)
    s.fill_(2)
    o.append(x)
    y = t.empty(0).set_(s, 1, (2,), (2,))
    o.append((y, y.storage_offset(), y.stride()))
    o.append(t.Tensor(s))
    f = t.FloatStorage([1, 2, 3])
    o += [f.tolist(), t.FloatStorage(3).size(), t.LongStorage([1]).dtype]
    z = t.ones(2)
    z.set_(x)
    o += [z, z.is_set_to(x)]
    o.append(t.tensor([]).set_(t.ones(4).untyped_storage()).shape if False else 0)
    o.append(s.clone().tolist())
    o.append(list(f))
    o.append(u == x[0].untyped_storage())
    return o


@programs
def resizing(t):
    x = t.arange(4.0)
    y = x.view(2, 2)
    x.resize_(2)
    x.resize_(2, 2)
    x.resize_(6)
    return (x.shape, x[:4], y, x.storage().size(), x.resize_as_(t.ones(2, 3)).shape)


@programs
def memory_formats(t):
    x = t.ones(2, 3, 4, 5).contiguous(memory_format=t.channels_last)
    return (
        x.stride(),
        x.is_contiguous(),
        x.is_contiguous(memory_format=t.channels_last),
        (x + 1).stride(),
        x.clone().stride(),
        x.contiguous().stride(),
        x.to(t.float64).stride(),
        x.dim_order(),
        t.ones(2, 2, 1, 2).to(memory_format=t.channels_last).dim_order(
            ambiguity_check=[t.contiguous_format, t.channels_last]),
        t.empty(2, 3, 4, 5, memory_format=t.channels_last).stride(),
        t.ones(1, 3, 1, 1).is_contiguous(memory_format=t.channels_last),
        x.float() is x,
        t.empty_like(x).stride(),
        t.ones(2, 3, 2, 2, 2).to(memory_format=t.channels_last_3d).stride(),
        x.layout == t.strided,
        str(t.channels_last),
        str(t.strided),
        isinstance(t.channels_last, t.memory_format),
        isinstance(x.layout, t.layout),
        str(x.layout),
    )


@programs
def properties(t):
    x = t.ones(2, 3)
    return (
        x.is_cuda,
        x.is_sparse,
        x.is_quantized,
        x.is_floating_point(),
        x.is_complex(),
        x.is_signed(),
        x.element_size(),
        x.nbytes,
        x.itemsize,
        x.get_device(),
        x.is_leaf,
        x.is_meta,
        x.is_mkldnn,
        x.is_cpu,
        x.is_shared(),
        x.is_pinned(),
        x.is_inference(),
        x.names if hasattr(x, "names") else 0,
        x.H.shape,
        x.mT.shape,
        x.mH.shape,
        x.T.shape,
        x.real is not None,
        x.ndim,
        x.dim(),
        x.nelement(),
        x.is_nonzero() if False else 0,
        x.is_same_size(t.ones(2, 3)),
        x.is_conj(),
        x.is_neg(),
        x.is_distributed(),
        x.numel(),
        x.size(-1),
        x.stride(0),
        x.ndimension(),
        x.storage_offset(),
        x.has_names() if hasattr(x, "has_names") else False,
        x.to_dense() is x if False else 0,
        x.conj().shape,
        x.resolve_conj().shape,
        x.positive().shape,
        x.data_ptr() != 0,
        (x._cdata == x._cdata, x._cdata == x.detach()._cdata, type(x._cdata)),
        t.ones(0).data_ptr(),
        x.new().shape,
        x.grad_fn,
        x.requires_grad,
        x.retains_grad,
        x.output_nr,
        x._version,
        x.device.type,
        x.dtype.is_floating_point,
        x.dtype.itemsize,
        x.dtype.is_signed,
        x.dtype.is_complex,
        str(x.dtype),
    )


@programs
def shared_memory(t):
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = t.from_numpy(a)
    x.add_(1)
    o = [a.tolist()]
    a[0, 0] = 7
    o.append(x)
    b = x.numpy()
    b[0] = 3
    o.append(x)
    o.append(t.from_numpy(a[:, ::2]).stride())
    o.append(t.ones(2, dtype=t.bool).numpy())
    o.append(np.add(a, 1, out=a).tolist())
    o.append(x)
    o.append(t.ones(2, requires_grad=True).numpy(force=True))
    o.append(np.asarray(t.ones(2), dtype=np.int32))
    o.append(t.from_dlpack(np.arange(3)))
    o.append(np.from_dlpack(t.arange(3)))
    o.append(int(t.arange(3).__dlpack_device__()[0]))
    z = t.utils.dlpack.from_dlpack(t.utils.dlpack.to_dlpack(t.ones(2)))
    o.append(z)
    o.append(t.ones(2).__array__().dtype.name)
    o.append(np.array(t.tensor(3)).shape)
    o.append(np.stack([t.ones(2), t.ones(2)]))
    o.append(np.concatenate([t.ones(2), t.ones(1)]))
    o.append(np.max(t.tensor([1.0, 3.0]).numpy()))
    return o


SETTINGS = [
    lambda t: t.set_default_dtype(t.int),
    lambda t: t.set_default_tensor_type(t.IntTensor),
    lambda t: t.set_num_threads(0),
    lambda t: t.is_nonzero(t.ones(2)),
    lambda t: t.is_nonzero(t.ones(0)),
    lambda t: t.set_num_threads("a"),
    lambda t: t.set_num_threads(1 << 65),
    lambda t: t.set_num_interop_threads("a"),
    lambda t: t.finfo(t.int),
    lambda t: t.iinfo(t.float),
    lambda t: t.set_default_dtype("a"),
]
DEVICES = [
    lambda t: t.device("foo"),
    lambda t: t.device("cuda:x"),
    lambda t: t.device(),
    lambda t: t.device(1.5),
    lambda t: t.device("cuda:0", 1),
    lambda t: t.device(type="cpu"),
    lambda t: t.device("cuda", index=1),
    lambda t: t.device("cpu") == "cpu",
    lambda t: t.device("meta"),
]
GENERATORS = [
    lambda t: t.manual_seed("a"),
    lambda t: t.Generator().manual_seed(1.5),
    lambda t: t.manual_seed(2**64),
    lambda t: t.manual_seed(-1) and 1 or 0,
    lambda t: t.Generator(device="cpu").initial_seed(),
    lambda t: t.set_rng_state(t.ones(3)),
    lambda t: isinstance(t.manual_seed(1), t.Generator),
]
RANDOM = [
    lambda t: t.rand(2, 3),
    lambda t: t.rand((2, 3), dtype=t.float64),
    lambda t: t.randn(size=(2,), requires_grad=True),
    lambda t: t.randint(3, (2,)),
    lambda t: t.randint(0, 3, (2,), dtype=t.int32),
    lambda t: t.randint(low=0, high=3, size=(2,)),
    lambda t: t.randint(3, 3, (2,)),
    lambda t: t.randperm(4),
    lambda t: t.randperm(4, dtype=t.int32),
    lambda t: t.randperm(-1),
    lambda t: t.rand_like(t.ones(2), dtype=t.float64),
    lambda t: t.rand_like(t.ones(2, dtype=t.int)),
    lambda t: t.randint_like(t.ones(2), 5),
    lambda t: t.randint_like(t.ones(2), 1, 5, dtype=t.int),
    lambda t: t.randn_like(t.ones(2), requires_grad=True),
    lambda t: t.rand(2, dtype=t.int),
    lambda t: t.randn(2, dtype=t.int),
    lambda t: t.normal(0.0, 1.0, (2,)),
    lambda t: t.normal(t.ones(2), t.ones(2)),
    lambda t: t.normal(0.0, t.ones(3)),
    lambda t: t.normal(t.ones(2), -1.0),
    lambda t: t.normal(t.ones(2)),
    lambda t: t.rand(2, out=t.ones(1)),
    lambda t: t.randperm(3, out=t.ones(1, dtype=t.long)),
    lambda t: t.bernoulli(t.tensor([0.5, 0.5])),
    lambda t: t.bernoulli(t.tensor([1])),
    lambda t: t.ones(3).uniform_(2, 1),
    lambda t: t.ones(3).normal_(0, -1),
    lambda t: t.ones(3).random_(5),
    lambda t: t.ones(3, dtype=t.int).random_(),
    lambda t: t.ones(3).random_(5, 3),
    lambda t: t.ones(3).exponential_(-1),
    lambda t: t.ones(3, dtype=t.int).normal_(),
    lambda t: t.ones(3).bernoulli_(2),
    lambda t: t.ones(3).geometric_(0),
    lambda t: t.ones(3).cauchy_(),
    lambda t: t.ones(3).log_normal_(),
    lambda t: t.randint(5, ()),
    lambda t: t.rand(()),
    lambda t: t.rand(0, 3),
    lambda t: t.randint(2, 5, [2, 3]),
    lambda t: t.rand(-1),
    lambda t: t.ones(2, requires_grad=True).uniform_(),
    lambda t: t.rand(2, device="cpu", layout=t.strided, pin_memory=False),
    lambda t: t.rand(2, foo=1),
    lambda t: t.randint(300, (2,), dtype=t.uint8),
    lambda t: t.normal(2.0, 3.0),
    lambda t: t.randperm(4, requires_grad=True),
    lambda t: t.randint(5, (2,), requires_grad=True),
    lambda t: t.randint(5, (2,), dtype=t.float, requires_grad=True),
    lambda t: t.randint(5),
]
STORAGES = [
    lambda t: t.from_numpy(np.ones(2)).resize_(5),
    lambda t: t.ones(2).storage()[5],
    lambda t: t.ones(2, requires_grad=True).resize_(3),
    lambda t: t.ones(2).set_(t.ones(2, dtype=t.int)),
    lambda t: (lambda x: x.set_(x.untyped_storage(), 5, (2,)))(t.ones(2)),
    lambda t: t.ones(2, 1).dim_order(ambiguity_check=True),
    lambda t: t.ones(2, 1, 3, 1).dim_order(ambiguity_check=[t.contiguous_format, t.channels_last]),
    lambda t: t.ones(2).dim_order(ambiguity_check="a"),
    lambda t: t.ones(2).resize_(-1),
    lambda t: t.ones(3).untyped_storage().resize_(4).nbytes(),
]
FORMATS = [
    lambda t: t.ones(2).contiguous(memory_format=t.channels_last),
    lambda t: t.ones(2).contiguous(memory_format=t.preserve_format),
    lambda t: t.empty(2, memory_format=t.channels_last),
]
PROPERTIES = [
    lambda t: t.ones(2, 3, 4).H,
    lambda t: t.ones(2).mT,
    lambda t: t.ones(2).imag,
    lambda t: t.ones(2).size(3),
    lambda t: t.ones(2).stride(2),
    lambda t: t.ones(2, 3, 4).T.shape,
    lambda t: t.ones(2).shape.numel(),
    lambda t: t.Size(3),
]
NUMPY = [
    lambda t: t.ones(2, dtype=t.bfloat16).numpy(),
    lambda t: t.ones(2, requires_grad=True).tolist(),
    lambda t: t.tensor([1.0, 2.0]).tolist(),
    lambda t: t.tensor(True).item(),
    lambda t: np.mean(t.ones(3).numpy()),
    lambda t: t.from_numpy(np.float32(1.0)),
    lambda t: t.ones(2, requires_grad=True).__array__(),
    lambda t: t.from_numpy(np.array(5)),
    lambda t: t.ones(2) + np.ones(2),
    lambda t: t.ones(2) == np.ones(2),
    lambda t: t.tensor(np.array(3)),
    lambda t: t.tensor(np.array([1, 2], dtype=np.int16)),
]


@pytest.mark.parametrize("program", programs, ids=lambda f: f.__name__)
def test_programs(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", SETTINGS)
def test_settings(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", DEVICES)
def test_devices(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", GENERATORS)
def test_generators(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", RANDOM)
def test_random(program, torch):
    def described(t):
        made = program(t)
        return tuple(made.shape), made.dtype, made.requires_grad

    assert_same_outcome(torch, described)


@pytest.mark.parametrize("program", STORAGES)
def test_storages(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", FORMATS)
def test_formats(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", PROPERTIES)
def test_properties(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", NUMPY)
def test_numpy(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize(
    "program",
    [
        lambda t: t.arange(3.0).apply_(lambda v: v * 2),
        lambda t: t.ones(2, 2).map_(t.arange(4.0).view(2, 2), lambda a, b: a - b),
        lambda t: t.ones(2, requires_grad=True).apply_(abs),
        lambda t: t.cond(t.tensor(True), lambda x: x + 1, lambda x: x - 1, (t.ones(2),)),
    ],
)
def test_functions_of_users(program, torch):
    assert_same_outcome(torch, program)


def test_import_loads_no_library_that_an_operator_does_not_need():
    program = "import sys, clgrad; print([m for m in sys.modules if m.startswith(('clgrad.nn', 'clgrad.optim'))])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_of_nn_among_the_top_names():
    later = {name for name, place in clgrad._LATER_NAMES.items() if place == "nn.top_level"}
    assert later == set(top_level.NAMES)
    assert all(getattr(clgrad, name) is top_level.NAMES[name] for name in later)
