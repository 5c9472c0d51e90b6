"""Recurrent layers and packed sequences equal PyTorch's, and their errors are of its classes."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.autograd.gradcheck import gradcheck, gradgradcheck
from tests.compare import assert_same_error

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")

LAYERS = [
    ("RNN", {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True}),
    ("RNN", {"input_size": 3, "hidden_size": 4, "nonlinearity": "relu", "bias": False}),
    ("LSTM", {"input_size": 3, "hidden_size": 5}),
    ("LSTM", {"input_size": 3, "hidden_size": 5, "num_layers": 2, "bidirectional": True, "proj_size": 2}),
    ("GRU", {"input_size": 3, "hidden_size": 4}),
    ("GRU", {"input_size": 3, "hidden_size": 4, "num_layers": 2, "bidirectional": True, "bias": False}),
]
NAMES = [f"{name}{number}" for number, (name, _) in enumerate(LAYERS)]
LIBRARIES = ("clgrad", "torch")


def modules(torch, name, options):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(**options)
    ours = getattr(clgrad.nn, name)(**options)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    assert repr(ours) == repr(theirs)
    return (clgrad, ours), (torch, theirs)


def close(found, expected):
    for a, b in zip(found, expected, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        # What is small beside its neighbours is a difference of sums as large as they are.
        largest = float(b.detach().abs().max()) if b.numel() else 0.0
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=2e-4, atol=max(2e-5, 2e-6 * largest))


def states(hidden):
    return list(hidden) if isinstance(hidden, tuple) else [hidden]


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=NAMES)
@pytest.mark.parametrize("form", ["padded", "batch first", "single", "state"])
def test_layers(torch, rng, name, options, form):
    options = dict(options, batch_first=form == "batch first")
    data = rng.standard_normal((6, 3) if form == "single" else (6, 5, 3)).astype(np.float32)
    own, count = options["hidden_size"], options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    first = [rng.standard_normal((count, 5, size)).astype(np.float32) for size in
             ((options.get("proj_size") or own, own) if name == "LSTM" else (own,))]
    results = []
    for library, module in modules(torch, name, options):
        x = library.tensor(data, requires_grad=True)
        hx = [library.tensor(s, requires_grad=True) for s in first]
        output, last = module(x, *([tuple(hx) if name == "LSTM" else hx[0]] if form == "state" else []))
        ((output * output).sum() + sum(s.sum() for s in states(last))).backward()
        results.append([output, *states(last), x.grad, *[p.grad for p in module.parameters()],
                        *[s.grad for s in hx if form == "state"]])
    close(*results)


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=NAMES)
@pytest.mark.parametrize("lengths", [[5, 3, 3, 1], [2, 5, 1, 4]])
def test_packed(torch, rng, name, options, lengths):
    data = rng.standard_normal((5, 4, 3)).astype(np.float32)
    results = []
    for library, module in modules(torch, name, options):
        utils = library.nn.utils.rnn
        x = library.tensor(data, requires_grad=True)
        packed = utils.pack_padded_sequence(x, lengths, enforce_sorted=lengths[0] == 5)
        output, last = module(packed)
        padded, counts = utils.pad_packed_sequence(output, batch_first=True, padding_value=-1.0, total_length=6)
        ((padded * padded).sum() + sum(s.sum() for s in states(last))).backward()
        results.append([padded, counts, *states(last), packed.data, packed.batch_sizes, x.grad,
                        *[p.grad for p in module.parameters()]])
    close(*results)


@pytest.mark.parametrize(("name", "options"), LAYERS, ids=NAMES)
def test_gradients_that_are_to_be_differentiated_again(torch, rng, name, options):
    data = rng.standard_normal((4, 2, 3)).astype(np.float32)
    results = []
    for library, module in modules(torch, name, options):
        x = library.tensor(data, requires_grad=True)
        output, last = module(x)
        loss = (output * output).sum() + sum(s.sum() for s in states(last))
        first = library.autograd.grad(loss, [x, *module.parameters()], create_graph=True)
        second = library.autograd.grad(sum((g * g).sum() for g in first), [x, *module.parameters()])
        results.append([*first, *second])
    close(*results)


@pytest.mark.parametrize("name", ["rnn_tanh", "lstm", "gru"])
@pytest.mark.parametrize("reverse", [False, True])
def test_derivatives_of_second_order(name, reverse):
    kind = name.upper()
    hidden = 2 if reverse else 1  # second derivatives are slow to find numerically
    module = clgrad.nn.modules.rnn.RNNBase(kind, 1, hidden, bidirectional=reverse, dtype=clgrad.float64)
    x = clgrad.randn(2, 1, 1, dtype=clgrad.float64, requires_grad=True)
    first = [clgrad.randn(1 + reverse, 1, hidden, dtype=clgrad.float64, requires_grad=True)
             for _ in range(1 + (name == "lstm"))]
    weights = list(module.parameters())
    inner = weights[-3:-1]  # weight_hh and bias_ih of the last direction

    def function(x, *given):
        hx, changed = given[:len(first)], given[len(first):]
        return getattr(clgrad, name)(x, hx if name == "lstm" else hx[0], [*weights[:-3], *changed, weights[-1]], True, 1,
                                     0.0, True, reverse, False)
    assert gradcheck(function, (x, *first, *inner))
    if not reverse:
        assert gradgradcheck(function, (x, *first, *inner))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sixteen_bits(torch, rng, dtype):
    data = rng.standard_normal((4, 2, 3)).astype(np.float32)
    results = []
    for library, module in modules(torch, "LSTM", {"input_size": 3, "hidden_size": 4}):
        kind = getattr(library, dtype)
        output, (hidden, _) = module.to(kind)(library.tensor(data).to(kind))
        assert output.dtype is kind
        results.append([output.float(), hidden.float()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=2e-2)


def test_wide_layers_and_large_batches(torch, rng):
    # More than one panel, rows that do not fill a tile, several work-items.
    data = rng.standard_normal((3, 37, 5)).astype(np.float32)
    for name in ("LSTM", "GRU", "RNN"):
        results = []
        for library, module in modules(torch, name, {"input_size": 5, "hidden_size": 29}):
            x = library.tensor(data, requires_grad=True)
            output, last = module(x)
            ((output * output).sum() + states(last)[-1].sum()).backward()
            results.append([output, *states(last), x.grad, *[p.grad for p in module.parameters()]])
        close(*results)


def test_outputs_may_change_in_place():
    module, x = clgrad.nn.GRU(3, 3), clgrad.randn(4, 2, 3)
    output, last = module(x)
    kept = last.tolist()
    output += x
    output.sum().backward()
    assert last.tolist() == kept and module.weight_hh_l0.grad is not None


def test_dropout_acts_between_layers_while_training():
    module = clgrad.nn.LSTM(3, 4, 2, dropout=1.0)
    x = clgrad.randn(5, 2, 3)
    bias_only = module(x * 2)[0]
    assert (module(x)[0] == bias_only).all()
    assert (module.eval()(x)[0] != module(x * 2)[0]).any()


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("shape", [(5, 3), (3,)])
def test_cells(torch, rng, name, shape):
    data = rng.standard_normal(shape).astype(np.float32)
    results = []
    for library, module in modules(torch, name, {"input_size": 3, "hidden_size": 4}):
        x = library.tensor(data, requires_grad=True)
        state = module(x)
        found = states(module(x, state))
        sum(s.sum() for s in found).backward()
        results.append([*found, x.grad, *[p.grad for p in module.parameters()]])
    close(*results)


def test_sequences_of_different_lengths(torch, rng):
    data = [rng.standard_normal((n, 2)).astype(np.float32) for n in (3, 1, 4)]
    ours, theirs = (library.nn.utils.rnn for library in (clgrad, torch))
    listed = [clgrad.tensor(d) for d in data]
    for a, b in zip(ours.unpack_sequence(ours.pack_sequence(listed, enforce_sorted=False)), data, strict=True):
        np.testing.assert_array_equal(a.numpy(), b)
    for options in ({"padding_side": "left", "padding_value": 2.0}, {"batch_first": True}):
        expected = theirs.pad_sequence([torch.tensor(d) for d in data], **options)
        np.testing.assert_array_equal(ours.pad_sequence(listed, **options).numpy(), expected.numpy())
    packed = ours.pack_sequence(listed, enforce_sorted=False)
    assert packed.double().data.dtype is clgrad.float64 and packed.to(clgrad.float32) is packed
    assert packed.sorted_indices.tolist() == [2, 0, 1] and packed.unsorted_indices.tolist() == [1, 2, 0]


@pytest.mark.parametrize("program", [
    lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(2)),
    lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(2, 1, 5)),
    lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(2, 1, 3).double()),
    lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(2, 1, 3), (lib.zeros(1, 2, 4), lib.zeros(1, 1, 4))),
    lambda lib: lib.nn.LSTM(3, 4)(lib.zeros(2, 1, 3), (lib.zeros(1, 4), lib.zeros(1, 4))),
    lambda lib: lib.nn.GRU(3, 4)(lib.zeros(2, 3), lib.zeros(1, 1, 4)),
    lambda lib: lib.nn.GRU(3, 4)(lib.zeros(0, 1, 3)),
    lambda lib: lib.nn.GRU(3, 4, proj_size=2), lambda lib: lib.nn.LSTM(3, 4, proj_size=4),
    lambda lib: lib.nn.RNN(3, 0), lambda lib: lib.nn.RNN(3.0, 1), lambda lib: lib.nn.RNN(3, 2, dropout=2),
    lambda lib: lib.nn.RNN(3, 2, nonlinearity="elu"), lambda lib: lib.nn.RNN(3, 2, num_layers=0),
    lambda lib: lib.nn.RNNCell(3, 2, nonlinearity="elu")(lib.zeros(1, 3)),
    lambda lib: lib.nn.LSTMCell(3, 2)(lib.zeros(1, 4)),
    lambda lib: lib.nn.LSTMCell(3, 2)(lib.zeros(1, 3), (lib.zeros(2, 2), lib.zeros(2, 2))),
    lambda lib: lib.nn.GRUCell(3, 2)(lib.zeros(1, 3), lib.zeros(1, 3)),
    lambda lib: lib.nn.GRUCell(3, 2)(lib.zeros(1, 1, 3)),
    lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 2, 1), [1, 2]),
    lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 2, 1), [2, 0]),
    lambda lib: lib.nn.utils.rnn.pack_padded_sequence(lib.zeros(3, 2, 1), [2]),
    lambda lib: lib.nn.utils.rnn.pad_packed_sequence(lib.nn.utils.rnn.pack_sequence([lib.zeros(3)]), total_length=1),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


def test_weights_given_in_place_of_parameters(torch):
    """What libraries do that train through the steps of an optimizer."""
    found = []
    for t in (torch, clgrad):
        layer = t.nn.GRU(2, 3)
        given = [t.linspace(-1, 1, p.numel()).reshape(p.shape).requires_grad_() for p in layer.parameters()]
        layer._flat_weights = given
        y, _ = layer(t.ones(2, 1, 2))
        y.sum().backward()
        found.append([y.tolist(), given[0].grad.tolist(), given[3].grad.tolist(), layer.bias_hh_l0.grad])
        layer.bias_hh_l0 = t.nn.Parameter(t.zeros(9))
        assert layer._flat_weights[3] is layer.bias_hh_l0
        assert layer(t.ones(2, 1, 2))[0].sum().requires_grad
    for expected, value in zip(*found, strict=True):
        assert expected == value if expected is None else np.allclose(expected, value, atol=1e-6)


CELLS = {"LSTMCell": 2, "GRUCell": 1, "RNNCell": 1}


@pytest.mark.parametrize(("name", "used"), [("LSTMCell", (0,)), ("LSTMCell", (1,)), ("LSTMCell", (0, 1)), ("GRUCell", (0,)),
                                            ("RNNCell", (0,))])
@pytest.mark.parametrize("bias", [True, False])
def test_gradients_of_cells(name, used, bias, torch):
    """First and second derivatives, of both states or of one, from states that are no dense tensors of their own."""
    rng = np.random.default_rng(0)
    theirs = getattr(torch.nn, name)(5, 7, bias=bias).double()
    ours = getattr(clgrad.nn, name)(5, 7, bias=bias).double()
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    data = [rng.normal(size=(7, 2, 4)), rng.normal(size=(4, 5))]
    results = []
    for t, cell in ((clgrad, ours), (torch, theirs)):
        states, x = t.tensor(data[0], requires_grad=True), t.tensor(data[1], requires_grad=True)
        operands = [x, states, *cell.parameters()]

        def loss(cell=cell, states=states, x=x):
            hx = states.permute(1, 2, 0).unbind(0)
            found = cell(x, hx) if CELLS[name] == 2 else (cell(x, hx[0]),)
            return sum((found[n] ** 3).sum() for n in used)
        plain = t.autograd.grad(loss(), operands)
        grads = t.autograd.grad(loss(), operands, create_graph=True)
        second = t.autograd.grad(sum((g ** 2).sum() for g in grads), operands)
        results.append([*plain, *grads, *second])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), 1e-8, 1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_states_of_cells_may_change_in_place(name):
    cell, x = getattr(clgrad.nn, name)(3, 4), clgrad.randn(2, 3)
    found = cell(x)
    states = (found,) if CELLS[name] == 1 else found
    copies = [s.detach().clone() for s in states]
    if name != "RNNCell":  # of tanh the result is saved
        for s in states:
            s.mul_(clgrad.tensor([[0.0], [1.0]]))
    sum(s.sum() for s in states).backward()
    assert all(clgrad.equal(s[1], copy[1]) for s, copy in zip(states, copies, strict=True))
    assert cell.weight_ih.grad is not None


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_dtypes_and_sizes_of_cells(name, dtype, batch, torch):
    theirs, ours = getattr(torch.nn, name)(5, 33), getattr(clgrad.nn, name)(5, 33)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = np.random.default_rng(1).normal(size=(batch, 5))
    found, expected = (cell.to(getattr(t, dtype))(t.tensor(x, dtype=getattr(t, dtype)))
                       for t, cell in ((clgrad, ours), (torch, theirs)))
    for a, b in zip(*((y,) if CELLS[name] == 1 else y for y in (found, expected)), strict=True):
        allowed = {"float16": 2e-3, "bfloat16": 2e-2, "float32": 1e-5}[dtype]
        np.testing.assert_allclose(a.detach().float().numpy(), b.detach().float().numpy(), allowed, allowed)
