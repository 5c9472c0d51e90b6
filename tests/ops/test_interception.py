"""Programs that listen to operators or replace them: modes, subclasses of Tensor, foreign classes."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading

import pytest

import clgrad
from clgrad.autograd.listening import switch
from clgrad.nn import functional as F
from clgrad.overrides import (
    BaseTorchFunctionMode,
    TorchFunctionMode,
    get_overridable_functions,
    handle_torch_function,
    has_torch_function,
    is_tensor_like,
    is_tensor_method_or_property,
    resolve_name,
    wrap_torch_function,
)


class Names(TorchFunctionMode):
    """Notes the names of the functions that are called."""

    def __init__(self):
        self.names, self.calls = [], []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.names.append(resolve_name(func))
        self.calls.append((func, types, args, kwargs))
        return func(*args, **(kwargs or {}))


def names_of(program):
    with Names() as mode:
        program()
    return mode.names


X = clgrad.arange(6.0).view(2, 3)
FORMS = {
    "function": (lambda: clgrad.exp(X), ["torch.exp"]),
    "method": (lambda: X.sum(1), ["torch.sum"]),
    "in place": (lambda: X.clone().add_(1), ["torch.clone", "torch.Tensor.add_"]),
    "out": (lambda: clgrad.mul(X, X, out=clgrad.empty(2, 3)), ["torch.empty", "torch.mul"]),
    "operator": (lambda: X + 1, ["torch.add"]),
    "operator of the number": (lambda: 1 - X, ["torch.sub"]),
    "augmented": (lambda: X.__iadd__(0), ["torch.Tensor.add_"]),
    "comparison": (lambda: X < 2, ["torch.lt"]),
    "unary operators": (lambda: (-X, abs(X)), ["torch.neg", "torch.abs"]),
    "index": (lambda: X[0], ["torch.Tensor.__getitem__"]),
    "assignment": (lambda: X.__setitem__(0, X[0]), ["torch.Tensor.__getitem__", "torch.Tensor.__setitem__"]),
    "property": (lambda: X.T, ["torch.Tensor.T.__get__"]),
    "conversions": (lambda: (X.float(), X.to(clgrad.float64)), ["torch.Tensor.float", "torch.Tensor.to"]),
    "reading": (lambda: X.sum().item(), ["torch.sum", "torch.Tensor.item"]),
    "creation": (lambda: (clgrad.zeros(2), clgrad.tensor([1.0]), clgrad.rand(2)),
                 ["torch.zeros", "torch.tensor", "torch.rand"]),
    "composition": (lambda: clgrad.einsum("ij,kj->ik", X, X), ["torch.einsum"]),
    "functional": (lambda: F.layer_norm(F.relu(X), (3,)), ["torch.nn.functional.relu", "torch.nn.functional.layer_norm"]),
    "loss": (lambda: F.mse_loss(X, X), ["torch.nn.functional.mse_loss"]),
    "linalg": (lambda: clgrad.linalg.vector_norm(X), ["torch.linalg.vector_norm"]),
    "special": (lambda: clgrad.special.expit(X), ["torch.special.expit"]),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_mode_sees_what_the_program_calls_and_not_what_operators_call(form):
    program, expected = FORMS[form]
    assert names_of(program) == expected


def test_modules_call_functions():
    model = clgrad.nn.Sequential(clgrad.nn.Conv2d(1, 2, 3), clgrad.nn.BatchNorm2d(2), clgrad.nn.ReLU(),
                                 clgrad.nn.MaxPool2d(2), clgrad.nn.Flatten(), clgrad.nn.Linear(8, 3), clgrad.nn.Softmax(1))
    image, model = clgrad.rand(1, 1, 6, 6), model.eval()
    assert [name.rpartition(".")[2] for name in names_of(lambda: model(image))] == [
        "conv2d", "batch_norm", "relu", "max_pool2d", "flatten", "linear", "softmax"]


def test_what_the_walk_of_the_graph_calls_is_not_seen():
    w = clgrad.ones(2, requires_grad=True)
    assert names_of(lambda: (w * 2).sum().backward()) == ["torch.mul", "torch.sum", "torch.Tensor.backward"]
    assert names_of(lambda: clgrad.autograd.grad((w * 2).sum(), w)) == ["torch.mul", "torch.sum", None]  # grad, of no name


def test_a_mode_gets_the_function_and_the_arguments():
    with Names() as mode:
        clgrad.add(X, X, alpha=2)
        F.softmax(X, dim=1)
    (func, types, args, kwargs), (softmax, *_) = mode.calls
    assert func is clgrad.add
    assert types == ()
    assert args == (X, X)
    assert kwargs == {"alpha": 2}
    assert softmax is F.softmax
    assert softmax.__name__ == "softmax"


def test_nested_modes_are_asked_from_the_inside():
    log = []

    class Says(TorchFunctionMode):
        def __init__(self, word):
            self.word = word

        def __torch_function__(self, func, types, args=(), kwargs=None):
            log.append((self.word, func.__name__))
            return func(*args, **(kwargs or {}))

    with Says("outer"), BaseTorchFunctionMode(), Says("inner"):
        X.exp()
    assert log == [("inner", "exp"), ("outer", "exp")]


def test_calls_inside_a_handler_go_outwards():
    class Doubles(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {})) * 2

    with Names() as outer, Doubles():
        found = X.exp()
    assert outer.names == ["torch.exp", "torch.mul"]
    assert found.tolist() == (X.exp() * 2).tolist()


def test_a_mode_that_is_entered_in_its_own_handler_goes_on_listening():
    class Looks(TorchFunctionMode):
        def __init__(self):
            self.names = []

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.names.append(func.__name__)
            if func.__name__ == "exp":
                with self:
                    return X * 2
            return func(*args, **(kwargs or {}))

    with Looks() as mode:
        X.exp()
        X.sin()
    assert mode.names == ["exp", "mul", "sin"]


def test_a_mode_may_answer_itself_or_not_at_all():
    class Refuses(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return NotImplemented if func is clgrad.exp else 3

    with Refuses():
        assert X + X == 3
        with pytest.raises(TypeError, match="exp"):
            clgrad.exp(X)


def test_a_mode_belongs_to_its_thread_and_leaves_nothing_behind():
    seen = Names()
    with seen:
        worker = threading.Thread(target=lambda: X.exp())
        worker.start()
        worker.join()
    assert seen.names == []
    with pytest.raises(ZeroDivisionError), seen:
        1 / 0  # noqa: B018
    X.exp()
    assert seen.names == []
    assert not switch.has(("mode", threading.get_ident()))


def test_autocast_and_a_mode_together():
    with clgrad.autocast("cpu"), Names() as mode:
        found = clgrad.mm(X, X.t())
    assert found.dtype is clgrad.bfloat16
    assert mode.names == ["torch.t", "torch.mm"]


# Subclasses of Tensor.

class Plain(clgrad.Tensor):
    pass


def test_results_keep_the_subclass():
    x = Plain([[1.0, 2.0], [3.0, 4.0]])
    assert [type(v) for v in (x + 1, 1 - x, x.sum(), x.T, x[0], x.data, x.detach(), clgrad.exp(x), F.relu(x), x.float(),
                              clgrad.cat([clgrad.ones(1, 2), x]), x.clone().add_(1))] == [Plain] * 12
    assert [type(v) for v in x.unbind()] == [Plain] * 2
    values, indices = x.max(1)
    assert (type(values), type(indices)) == (Plain, Plain)
    assert repr(x + 1) == "Plain([[2., 3.],\n       [4., 5.]])"
    assert type(x.tolist()) is list


def test_gradients_through_a_subclass():
    x = Plain([1.0, 2.0]).requires_grad_()
    y = (x * x).sum()
    y.backward()
    assert type(x.grad) is clgrad.Tensor
    assert x.grad.tolist() == [2.0, 4.0]
    (g,) = clgrad.autograd.grad((x * x * x).sum(), x, create_graph=True)
    g.sum().backward()
    assert x.grad.tolist() == [8.0, 16.0]


def test_parameters_are_no_such_subclass():
    weight = clgrad.nn.Parameter(clgrad.ones(2))
    assert type(weight * 2) is clgrad.Tensor
    assert not has_torch_function((weight, X))
    assert clgrad.nn.Parameter.__torch_function__ is clgrad._C._disabled_torch_function_impl

    class Own(clgrad.nn.Parameter):
        pass
    assert type(Own(clgrad.ones(2)) + 1) is clgrad.Tensor


def test_a_subclass_that_logs():
    log = []

    class Logging(clgrad.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            log.append((func.__name__, types))
            return super().__torch_function__(func, types, args, kwargs)

    x = Logging([1.0, 2.0])
    y = clgrad.nn.functional.gelu(x) + X[0, :2]
    assert log == [("gelu", (Logging,)), ("add", (Logging,))]
    assert type(y) is Logging


def test_subclasses_come_before_their_bases():
    class Below(Plain):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return types

    below, plain = Below([1.0]), Plain([1.0])
    assert clgrad.add(plain, below) == (Below, Plain)
    assert plain + below == (Below, Plain)


def test_strangers_do_not_mix():
    class Other(clgrad.Tensor):
        pass
    with pytest.raises(TypeError, match=r"add.*Plain.*Other"):
        Plain([1.0]) + Other([1.0])


def test_switching_classes_off():
    x = Plain([1.0])
    with clgrad._C.DisableTorchFunctionSubclass():
        assert type(x + 1) is clgrad.Tensor
        with Names() as mode:
            X.exp()
    assert mode.names == ["torch.exp"]
    with Names() as mode, clgrad._C.DisableTorchFunction():
        X.exp()
    assert mode.names == []
    assert type(x + 1) is Plain


# Foreign classes.

class Scalar:
    """A multiple of the identity, of which only some functions know."""

    handled: dict = {}

    def __init__(self, n, value):
        self.n, self.value = n, value

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func not in cls.handled or not all(issubclass(t, (clgrad.Tensor, cls)) for t in types):
            return NotImplemented
        return cls.handled[func](*args, **(kwargs or {}))


Scalar.handled[clgrad.mean] = lambda x: x.value / x.n
Scalar.handled[clgrad.add] = lambda a, b: ("sum", type(a).__name__, type(b).__name__)
Scalar.handled[clgrad.cat] = lambda parts, dim=0: len(parts)
Scalar.handled[F.mse_loss] = lambda x, y: 0.0


def test_a_foreign_class_answers():
    s = Scalar(5, 2)
    assert clgrad.mean(s) == 0.4
    assert clgrad.add(s, X) == ("sum", "Scalar", "Tensor")
    assert X + s == ("sum", "Tensor", "Scalar")
    assert clgrad.cat([X, s]) == 2
    assert F.mse_loss(X, s) == 0.0
    with pytest.raises(TypeError, match="exp"):
        clgrad.exp(s)
    with pytest.raises(TypeError):
        clgrad.exp("text")


class Metadata:
    """A tensor with something beside it."""

    def __init__(self, data, metadata=None):
        self._t, self._metadata = clgrad.as_tensor(data), metadata

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        notes = tuple(a._metadata for a in args if hasattr(a, "_metadata"))
        return cls(func(*[a._t if hasattr(a, "_t") else a for a in args], **(kwargs or {})), metadata=notes[0])


def test_a_class_that_wraps_a_tensor():
    made = clgrad.add(Metadata([1.0, 2.0], "note"), clgrad.tensor([3.0, 4.0]))
    assert isinstance(made, Metadata)
    assert made._metadata == "note"
    assert made._t.tolist() == [4.0, 6.0]


@pytest.mark.parametrize("call", ["clgrad.std(d)", "clgrad.nn.functional.softmax(d, 0)", "x.mul_(d)", "clgrad.where(d, x, x)",
                                  "clgrad.stack([x, d])", "x * d"])
@pytest.mark.parametrize("before", ["pass", "clgrad.eye(2).to_sparse(), clgrad.ones(2) * 1j"])
def test_the_first_call_with_a_class_that_nobody_knew(call, before):
    """In a program of its own: from the first such call on operators look at every argument. ``before`` there is another
    reason to look at calls, or none."""
    program = f"""
import clgrad
class Duck:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return func.__name__
d, x = Duck(), clgrad.ones(2)
{before}
print({call})
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() in call.replace("x * d", "mul")


# What else the module offers.

def test_functions_of_users():
    @wrap_torch_function(lambda x: (x,))
    def own(x):
        return "plain"

    assert own(X) == "plain"
    assert own(Plain([1.0])) == "plain"

    class Answers:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return (func, types, args)

    a = Answers()
    assert own(a) == (own, (Answers,), (a,))
    assert handle_torch_function(own, (a,), 1) == (own, (Answers,), (1,))
    assert is_tensor_like(a)
    assert is_tensor_like(X)
    assert not is_tensor_like(1)


def test_names_and_lists():
    listed = get_overridable_functions()
    assert clgrad.add in listed["torch"]
    assert F.relu in listed[F]
    assert clgrad.Tensor.item in listed[clgrad.Tensor]
    assert resolve_name(clgrad.Tensor.add_) == "torch.Tensor.add_"
    assert resolve_name(len) is None
    assert is_tensor_method_or_property(clgrad.Tensor.T.__get__)


def test_public_functions_can_be_pickled():
    for function in (F.relu, F.conv2d, F.cross_entropy, F.gelu, clgrad.tanh):
        assert pickle.loads(pickle.dumps(function)) is function


def test_every_public_function_tells_of_its_calls():
    deaf = [name for name in F.__all__ if not hasattr(getattr(F, name), "operator_name")]
    assert deaf == []
    assert [name for name in ("add", "zeros", "einsum", "lstm", "gru_cell", "where", "stack", "index_put_")
            if not hasattr(getattr(clgrad, name), "operator_name")] == []
    assert [name for name in ("new_zeros", "squeeze_", "scatter_", "tril_", "to", "where", "polygamma")
            if not hasattr(getattr(clgrad.Tensor, name), "operator_name")] == []


class Activated:
    smooth, straight, both, scaled, joined, squashed = (clgrad.tanh, clgrad.relu, clgrad.mul, clgrad.add, clgrad.cat,
                                                        clgrad.softmax)


def test_operators_that_a_class_has_are_not_bound_to_its_objects():
    """PyTorch's functions are builtins, which Python does not bind."""
    it, x = Activated(), clgrad.tensor([-1.0, 2.0])
    for results in ((it.smooth(x), x.tanh()), (it.straight(x), x.relu()), (it.both(x, 2), x * 2), (it.scaled(x, 1), x + 1),
                    (it.scaled(x, x, alpha=2), x * 3), (it.joined([x, x], dim=0), clgrad.cat([x, x])),
                    (it.squashed(x, 0), x.softmax(0))):
        assert clgrad.equal(*results)
    with pytest.raises(TypeError):
        it.straight(x, 1)
    with pytest.raises(TypeError):
        clgrad.relu(it)
    with pytest.raises(TypeError):
        clgrad.relu(x, 1)
    with Names():
        assert clgrad.equal(it.straight(x), x.relu())


def test_functions_that_set_initial_values_tell_of_their_calls(torch):
    """Those that do so in PyTorch: the others are seen by what they call."""
    names = ("uniform_", "normal_", "constant_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "ones_")

    def told(library):
        class Listening(library.overrides.TorchFunctionMode):
            def __torch_function__(self, func, types, args=(), kwargs=None):
                called.add(func.__name__)
                return func(*args, **(kwargs or {}))
        found = []
        for name in names:
            tensor, called = library.empty(3, 3), set()
            with Listening():
                getattr(library.nn.init, name)(tensor, *([0.5] if name == "constant_" else []))
            found.append(called.intersection(names))
        return found
    assert told(clgrad) == told(torch)
