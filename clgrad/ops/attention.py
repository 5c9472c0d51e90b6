"""Attention: the softmax of scaled products of queries and keys, times values (Vaswani et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, needs_graph, wrap
from clgrad.autograd.recorded import recorded_gradients
from clgrad.kernels import attention as kernels
from clgrad.ops.copying import cast, empty
from clgrad.ops.execute import blank, check_device, execute
from clgrad.ops.random import Generator, default_generator, fill_random
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.runtime import result_storage
from clgrad.shapes import broadcast_shapes, divide_up, is_dense, memory_order, ordered_strides, round_up


def _check(query: Any, key: Any, value: Any, attn_mask: Any, dropout_p: float, is_causal: bool,
           enable_gqa: bool) -> None:
    q, k, v = query.spec, key.spec, value.spec
    name = "scaled_dot_product_attention"
    if q.dtype is not k.dtype or q.dtype is not v.dtype:
        raise RuntimeError(f"{name}: Expected query, key, and value to have the same dtype, but got query.dtype: "
                           f"{dtypes.c_name(q.dtype)} key.dtype: {dtypes.c_name(k.dtype)} and value.dtype: "
                           f"{dtypes.c_name(v.dtype)} instead.")
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise RuntimeError(f"{name}: Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: "
                           f"{q.ndim} key.dim: {k.ndim} and value.dim: {v.ndim} instead.")
    if not q.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected operands of floating point, got {q.dtype.name}")
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"dropout probability has to be between 0 and 1, but got {dropout_p}")
    if attn_mask is not None:
        if is_causal and (dropout_p or not q.ndim == k.ndim == v.ndim == 4 or q.shape[-1] != v.shape[-1]):
            raise RuntimeError(f"_{name}: Explicit attn_mask should not be set when is_causal=True")
        kind = attn_mask.spec.dtype
        if kind not in (dtypes.bool, q.dtype, dtypes.float32):
            raise RuntimeError(f"{name}: Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                               f"attn_mask.dtype: {dtypes.c_name(kind)} and  query.dtype: {dtypes.c_name(q.dtype)} "
                               "instead.")
    if q.shape[-1] != k.shape[-1]:
        raise RuntimeError(f"{name}: query and key must have the same last size, got {q.shape[-1]} and {k.shape[-1]}")
    if k.shape[-2] != v.shape[-2]:
        raise RuntimeError(f"{name}: key and value must have the same length, got {k.shape[-2]} and {v.shape[-2]}")
    if enable_gqa and min(q.ndim, k.ndim, v.ndim) > 2 and (
            k.shape[-3] == 0 or q.shape[-3] % k.shape[-3] or k.shape[-3] != v.shape[-3]):
        raise RuntimeError(f"{name}: Number of heads in key and value must divide the number of heads in query, got "
                           f" {q.shape[-3]}, {k.shape[-3]} and {v.shape[-3]}")


def _repeated(x: Any, heads: int) -> Any:
    """Each head of keys or values for the group of queries' heads that share it."""
    own = x.spec.shape
    if own[-3] == heads:
        return x
    wide = x.unsqueeze(-3).expand(*own[:-2], heads // own[-3], *own[-2:])
    return wide.reshape(*own[:-3], heads, *own[-2:])


def composed(query: Any, key: Any, value: Any, mask: Any, drop: Callable | None, is_causal: bool, scale: float) -> Any:
    """Attention made of other operators; it holds all scores at once. A query that sees no key gives zeros.

    ``drop`` is applied to the weights.
    """
    if not key.spec.shape[-2]:
        is_causal, mask = False, None
    root = math.sqrt(abs(scale))
    scores = (query * root).matmul((key * math.copysign(root, scale)).transpose(-2, -1))
    where = FUNCTIONS["where"]
    if is_causal:
        steps, keys = scores.spec.shape[-2:]
        places = [FUNCTIONS["arange"](n, device=scores.device) for n in (keys, steps)]
        earlier = places[0] <= places[1].unsqueeze(1)
        if mask is None:
            mask = earlier
        else:
            mask = mask & earlier if mask.spec.dtype is dtypes.bool else where(earlier, mask, -math.inf)
    if mask is None:
        weights = scores.softmax(-1)
    else:
        if mask.spec.dtype is dtypes.bool:
            scores = where(mask, scores, -math.inf)
        else:
            scores = (scores + mask).to(query.dtype)
        blind = scores.detach().amax(-1, keepdim=True).eq(-math.inf)
        weights = where(blind, 0.0, where(blind, 0.0, scores).softmax(-1))
    if drop is not None:
        weights = drop(weights)
    return weights.matmul(value)


def _covered(q: Any, v: Any, mask: Any, dropout_p: float, scale: float) -> bool:
    """Whether the kernel does this case."""
    own = q.spec
    return not (dropout_p == 1 or mask is not None and mask._requires_grad or not own.numel or not v.spec.numel
                or max(own.shape[-1], v.spec.shape[-1]) > kernels.MOST_SIZE or not math.isfinite(scale))


def _prepared(x: Any, kind: Any, multiple: int) -> Any:
    """An operand as the kernel wants it: four dimensions, the last dense and of a multiple's size."""
    x = cast(x, kind)
    shape = x.spec.shape
    missing = -shape[-1] % multiple
    if missing:
        x = FUNCTIONS["pad"](x, (0, missing))
    elif x.spec.strides[-1] != 1:
        x = x.contiguous()
    return x if len(shape) == 4 else x.reshape(-1, *x.spec.shape[-3:]) if len(shape) > 4 else x[(None,) * (4 - len(shape))]


_plans: dict[tuple, kernels.Plan] = {}


def _plan(make: Callable, name: Any, q: Any, k: Any, v: Any, mask: Any, out: Any, causal: bool, scale: float,
          dropout_p: float) -> kernels.Plan:
    """What ``make``, which is known by its name, makes of the problem; kept."""
    key = (name, q.spec, k.spec, v.spec, None if mask is None else mask.spec, out.spec, causal, scale, dropout_p)
    found = _plans.get(key)
    if found is None:
        batch, heads, steps, size = q.spec.shape
        shared, keys = k.spec.shape[1:3]
        problem = kernels.Problem(
            q.spec.device.compute, q.spec.dtype, (batch, heads, shared, steps, keys, size, v.spec.shape[-1]),
            q.spec.strides[:3], k.spec.strides[:3], v.spec.strides[:3], None if mask is None else mask.spec.strides,
            mask is not None and mask.spec.dtype is dtypes.bool, out.spec.strides[:3], causal, scale, dropout_p)
        found = _plans[key] = make(problem)
    return found


def _like_windows(*operands: Any) -> tuple | None:
    """New windows side by side on one memory, as operands lie that are the parts of one projection; None of others."""
    first, second = operands[:2]
    own, step = first.spec, second.offset - first.offset
    if step <= 0 or not is_dense((len(operands), *own.shape), (step, *own.strides)) or any(
            x.memory is not first.memory or x.spec is not own or x.offset != first.offset + n * step
            for n, x in enumerate(operands)):
        return None
    memory = result_storage(own.device.compute, own.numel * len(operands) * own.dtype.itemsize)
    return tuple([wrap(memory, n * step, own) for n in range(len(operands))])


def _kept(q: Any, keys: int, dropout_p: float, stream: tuple[int, int]) -> Any:
    """Factors of all weights, as the kernel draws them: a line of them begins with a counter of its own."""
    generator = Generator().manual_seed(stream[0])
    generator.set_offset(stream[1])
    drawn = empty((*q.spec.shape[:3], round_up(keys, 4)), dtypes.float32, q.spec.device)
    fill_random(drawn, "BERNOULLI", 1 - dropout_p, 0, generator)
    return drawn.narrow(-1, 0, keys).to(q.dtype) / (1 - dropout_p)


def _fused(q: Any, k: Any, v: Any, mask: Any, causal: bool, scale: float, dropout_p: float, order: list[int]) -> Any:
    """Attention of prepared operands (batch, heads, steps, size) in one launch, and two or one for its gradients.

    The dimensions of the result lie in memory in the ``order``, the innermost first. What dropout keeps is drawn where it is
    needed, and not stored.

    Measured at 8 x 8 heads of 512 x 64 on two cores: a third of the time of the composition, whose scores take 64 MiB.
    """
    batch, heads, steps, _ = q.spec.shape
    width = v.spec.shape[-1]
    place = q.spec.device
    shape = (batch, heads, steps, width)
    out = empty(shape, q.spec.dtype, place, ordered_strides(shape, order))
    lse = empty((batch, heads, steps), q.spec.dtype, place)
    keys = k.spec.shape[2]
    stream = (0, 0)
    if dropout_p:
        stream = default_generator.take(batch * heads * steps * divide_up(keys, 4))
        place.compute.moves += 1
    rule = (causal, scale, dropout_p)
    plan = _plan(kernels.plan, kernels.plan, q, k, v, mask, out, *rule)
    execute(plan, (q, k, v, mask), (out, lse), kernels.of_stream(*stream))
    if not needs_graph(q, k, v):
        return out
    saved = Saved("scaled_dot_product_attention", [q, k, v, mask, lse])

    def backward(g: Any) -> tuple:
        q, k, v, mask, lse, out = saved.unpack()
        if mode.enabled:
            drop = partial(FUNCTIONS["mul"], _kept(q, keys, dropout_p, stream)) if dropout_p else None

            def again(q: Any, k: Any, v: Any) -> Any:
                return composed(q, _repeated(k, heads), _repeated(v, heads), mask, drop, causal, scale)
            return tuple(recorded_gradients(saved, again, (q, k, v), (g,)))
        if g.spec.strides != out.spec.strides:
            g = blank(out.spec).copy_(g)
        gradients = _like_windows(q, k, v) or tuple([empty(x.spec.shape, x.spec.dtype, place) for x in (q, k, v)])
        strides = tuple([step for x in gradients for step in x.spec.strides[:3]])
        plan = _plan(partial(kernels.backward_plan, gradients=strides), (kernels.backward_plan, strides), q, k, v, mask, out,
                     *rule)
        delta = lse if place.compute.is_cpu else blank(lse.spec)
        execute(plan, (q, k, v, mask, g, out, lse, delta), gradients, kernels.of_stream(*stream))
        return gradients
    attach(out, "ScaledDotProductAttention", (q, k, v), backward, saved)
    saved.add_output(out)
    return out


def _expanded(x: Any, outer: tuple) -> Any:
    """An operand whose dimensions before the last two are ``outer``."""
    return x if x.spec.shape[:-2] == outer else x.expand(*outer, *x.spec.shape[-2:])


def _attend(query: Any, key: Any, value: Any, mask: Any, causal: bool, scale: float, dropout_p: float) -> Any:
    """Brings any operands into the kernel's form, and its result into theirs."""
    kind, width = query.spec.dtype, value.spec.shape[-1]
    device = check_device("scaled_dot_product_attention", query, key, value, mask)
    multiple = 2 * kernels.lanes(device, kind.compute, query.spec.shape[-1], width)
    lead = broadcast_shapes(*(x.spec.shape[:-3] for x in (query, key, value)))
    own = query.spec.shape[-3:-2]
    shared = broadcast_shapes(key.spec.shape[-3:-2], value.spec.shape[-3:-2])
    if shared and own in ((), (1,)):
        own = shared
    if own:
        query = _expanded(query, (*lead, *own))
        key, value = (_expanded(x, (*lead, *(shared or (1,)))) for x in (key, value))
    outer = query.spec.shape[:-2]
    if mask is not None:
        mask = mask.detach() if mask.spec.dtype is dtypes.bool else cast(mask.detach(), kind.compute)
        mask = mask.expand(*outer, query.spec.shape[-2], key.spec.shape[-2])
        mask = mask.reshape(-1, *mask.spec.shape[-3:]) if mask.spec.ndim > 4 else mask[(None,) * (4 - mask.spec.ndim)]
    # The result lies in memory as the query does: what follows often views the heads of a step side by side.
    order = [3, 2, 1, 0] if query.spec.ndim != 4 else [3, *memory_order(query.spec.shape[:3], [query.spec.strides[:3]])]
    q, k, v = (_prepared(x, kind.compute, multiple) for x in (query, key, value))
    result = _fused(q, k, v, mask, causal, scale, dropout_p, order)
    if result.spec.shape[-1] != width:
        result = result.narrow(-1, 0, width).clone()
    result = result.reshape(*outer, *result.spec.shape[-2:]) if len(outer) != 2 else result
    return cast(result, kind)


@operator("scaled_dot_product_attention", method=False)
def scaled_dot_product_attention(query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
                                 is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> Any:
    """softmax(query @ key.T * scale + mask) @ value, in each of the dimensions before the last two.

    Args:
        query: (..., steps, size).
        key: (..., keys, size).
        value: (..., keys, size of the result).
        attn_mask: broadcast to (..., steps, keys): bool, true where a query sees a key, or numbers that are added to the
            scores.
        dropout_p: the probability with which weights are zeroed.
        is_causal: query i sees the keys 0 .. i.
        scale: default 1 / sqrt(size).
        enable_gqa: keys and values may have fewer heads (dimension -3) than queries: groups of queries' heads share
            them.

    Returns:
        (..., steps, size of the result).

    Raises:
        RuntimeError: dtypes or shapes that do not go together; ``attn_mask`` together with ``is_causal``, other than for
            four dimensions, sizes that are all the same and no dropout, where both hold.

    >>> import clgrad
    >>> q = clgrad.ones(1, 2, 4)
    >>> clgrad.nn.functional.scaled_dot_product_attention(q, q, clgrad.arange(8.).view(1, 2, 4), is_causal=True)
    tensor([[[0., 1., 2., 3.],
             [2., 3., 4., 5.]]])
    """
    _check(query, key, value, attn_mask, dropout_p, is_causal, enable_gqa)
    size = query.spec.shape[-1]
    scale = 1.0 / math.sqrt(size) if scale is None and size else scale or 0.0
    if not enable_gqa:
        broadcast_shapes(query.spec.shape[:-2], key.spec.shape[:-2], value.spec.shape[:-2])
    if _covered(query, value, attn_mask, dropout_p, scale):
        return _attend(query, key, value, attn_mask, is_causal, scale, dropout_p)
    if enable_gqa and query.spec.ndim > 2:
        key, value = (_repeated(x, query.spec.shape[-3]) for x in (key, value))
    drop = partial(FUNCTIONS["dropout"], p=dropout_p) if dropout_p else None
    return composed(query, key, value, attn_mask, drop, is_causal, scale)
