"""Programs that members of a group run, with clgrad or PyTorch as ``t``. They return numbers, lists and texts."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta

KINDS = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "int8")


def numbers(t, kind, count, rank):
    return (t.arange(count) * (rank + 2) % 7 + rank).to(getattr(t, kind))


def plain(x):
    return [plain(entry) for entry in x] if isinstance(x, (list, tuple)) else (str(x.dtype).split(".")[-1], x.float().tolist()
                                                                             if x.dtype.is_floating_point else x.tolist())


def collectives(t, rank, size):
    """Each operation once or more; what this member has then."""
    d, found = t.distributed, {}
    for kind in KINDS:
        for op in ("SUM", "PRODUCT", "MIN", "MAX"):
            x = numbers(t, kind, 6, rank)
            d.all_reduce(x, getattr(d.ReduceOp, op))
            found["all_reduce", kind, op] = plain(x)
    for op in ("BAND", "BOR", "BXOR"):
        x = numbers(t, "int32", 6, rank)
        d.all_reduce(x, getattr(d.ReduceOp, op))
        found["all_reduce", op] = plain(x)
    for count in (0, 1, 30_001, 100_000):
        x = numbers(t, "float32", count, rank)
        d.all_reduce(x, d.ReduceOp.SUM)
        found["all_reduce", count] = plain(x)
        x = numbers(t, "float64", count, rank)
        d.broadcast(x, 1)
        found["broadcast", count] = plain(x)
        x = numbers(t, "float64", count, rank)
        d.reduce(x, 1)
        if rank == 1:
            found["reduce", count] = plain(x)
    x = numbers(t, "float64", 12, rank).view(3, 4).t()
    if t.__name__ == "torch":  # gloo takes contiguous tensors only
        part = x[:, :2].contiguous()
        d.all_reduce(part)
        x[:, :2] = part
    else:
        d.all_reduce(x[:, :2])
    work = d.all_reduce(x.contiguous(), async_op=True)
    found["work"] = [work.wait(), work.is_completed(), work.is_success(), plain(work.result())]
    x = numbers(t, "float32", 4, rank)
    outs = [t.zeros(4) for _ in range(size)]
    d.all_gather(outs, x)
    found["all_gather"] = plain(outs)
    out = t.zeros(size * 4)
    d.all_gather_into_tensor(out, x)
    found["all_gather_into_tensor"] = plain(out)
    outs = [t.zeros(4) for _ in range(size)]
    d.gather(x, outs if rank == 1 else None, dst=1)
    found["gather"] = plain(outs)
    out = t.zeros(4)
    d.scatter(out, [x * k for k in range(size)] if rank == 1 else None, src=1)
    found["scatter"] = plain(out)
    out = t.zeros(4)
    d.reduce_scatter(out, [x * (k + 1) for k in range(size)])
    found["reduce_scatter"] = plain(out)
    out = t.zeros(2, 2)
    d.reduce_scatter_tensor(out, numbers(t, "float32", 4 * size, rank).view(2 * size, 2))
    found["reduce_scatter_tensor"] = plain(out)
    # Row counts of member r for member k: r + k.
    out = t.zeros(sum(rank + k for k in range(size)), 3)
    sizes = [rank + k for k in range(size)]
    d.all_to_all_single(out, numbers(t, "float32", 3 * sum(sizes), rank).view(-1, 3), sizes, sizes)
    found["all_to_all_single"] = plain(out)
    objects = [None] * size
    d.all_gather_object(objects, {"rank": rank, "data": "x" * rank})
    found["objects"] = objects
    objects = [rank, "a" * (rank + 1)]
    d.broadcast_object_list(objects, src=1)
    found["broadcast_object_list"] = objects
    objects = [None]
    d.scatter_object_list(objects, [("for", k) for k in range(size)] if rank == 0 else None)
    found["scatter_object_list"] = objects
    objects = [None] * size if rank == 1 else None
    d.gather_object(("from", rank), objects, dst=1)
    found["gather_object"] = objects
    d.barrier()
    d.monitored_barrier()
    found["groups"] = groups(t, rank, size)
    found["messages"] = messages(t, rank, size)
    return found


def groups(t, rank, size):
    """What groups of some members are, and compute."""
    d = t.distributed
    pair = d.new_group([0, size - 1])
    found = [d.get_rank(pair), d.get_world_size(pair), d.get_process_group_ranks(d.group.WORLD)]
    if rank in (0, size - 1):
        x = t.ones(3) * (rank + 1)
        d.all_reduce(x, group=pair)
        y = t.ones(2) * rank
        d.broadcast(y, size - 1, group=pair)
        found += [plain(x), plain(y), d.get_global_rank(pair, 1), d.get_group_rank(pair, size - 1)]
        d.destroy_process_group(pair)
    own, every = d.new_subgroups(1)
    return [*found, d.get_world_size(own), len(every)]


def messages(t, rank, size):
    """Tensors that go from one member to another."""
    d, found = t.distributed, []
    if rank == 0:
        sent = [d.isend(t.arange(5), 1, tag=3), d.isend(t.arange(5.0) * 2, 1, tag=4)]
        for work in sent:
            work.wait()
    if rank == 1:
        late, early = t.zeros(5), t.zeros(5, dtype=t.int64)
        found.append(d.recv(late, 0, tag=4))
        found += [d.recv(early, 0, tag=3), plain(late), plain(early)]
    ring = [d.P2POp(d.isend, t.ones(3) * rank, (rank + 1) % size), d.P2POp(d.irecv, t.zeros(3), (rank - 1) % size)]
    for work in d.batch_isend_irecv(ring):
        work.wait()
    found.append(plain(ring[1].tensor))
    if rank:
        d.send(t.full((2,), rank), 0)
    else:
        came = {}
        for _ in range(1, size):
            x = t.zeros(2, dtype=t.int64)
            came[d.recv(x)] = x.tolist()
        found.append(sorted(came.items()))
    if rank == 0:
        d.send_object_list(["a", 1], 1)
    if rank == 1:
        objects = [None, None]
        d.recv_object_list(objects, 0)
        found.append(objects)
    return found


def gradients(t, rank, size):
    """Gradients that pass collective operations, as (value, gradient) pairs."""
    f, found = t.distributed.nn, {}

    def note(name, call):
        x = (t.arange(4.0) + rank + 1).double().requires_grad_()
        outs = call(x)
        outs = outs if isinstance(outs, (tuple, list)) else (outs,)
        total = sum(((out.detach() + k + 1) * out ** 2).sum() * (rank + 1) for k, out in enumerate(outs))
        total.backward()
        found[name] = [[out.tolist() for out in outs], x.grad.tolist()]
    note("all_reduce", lambda x: f.all_reduce(x * 2))
    note("broadcast", lambda x: f.broadcast(x * 2, 1))
    note("reduce", lambda x: f.reduce(x * 2, 1)) if rank == 1 else note("reduce", lambda x: 0 * f.reduce(x * 2, 1))
    note("all_gather", lambda x: f.all_gather(x * 2))
    note("gather", lambda x: f.gather(x * 2, 1))
    note("scatter", lambda x: f.scatter([x * (k + 1) for k in range(size)], 1))
    note("reduce_scatter", lambda x: f.reduce_scatter(t.zeros(4).double(), [x * (k + 1) for k in range(size)]))
    note("all_to_all_single", lambda x: f.all_to_all_single(t.zeros(4).double(), x * 3))
    return found


def network(t):
    """A network with all kinds of layers that matter, with the same weights everywhere."""
    n = t.nn
    net = n.Sequential(n.Linear(6, 16), n.BatchNorm1d(16), n.Tanh(), n.Linear(16, 16), n.Tanh(), n.Linear(16, 3)).double()
    with t.no_grad():
        for k, p in enumerate(net.parameters()):
            p.copy_(t.sin(t.arange(p.numel()).double() * (k + 1) + k).view(p.shape) * 0.4)
    return net


def batch(t, count=12):
    x = t.cos(t.arange(count * 6).double() * 1.7).view(count, 6)
    return x, t.sin(t.arange(count * 3).double() * 0.9).view(count, 3)


def trained(t, rank, size):
    """Parameters after steps of training in several settings."""
    d, found = t.distributed, {}
    x, y = (part.chunk(size)[rank] for part in batch(t))
    settings = {"plain": {}, "small buckets": {"bucket_cap_mb": 0.0005}, "views": {"gradient_as_bucket_view": True},
                "unused": {"find_unused_parameters": True}, "static": {"static_graph": True}, "own buffers":
                {"broadcast_buffers": False}}
    for name, options in settings.items():
        net = network(t)
        ddp = t.nn.parallel.DistributedDataParallel(net, **options)
        optimizer = t.optim.SGD(ddp.parameters(), 0.1, momentum=0.9)
        for step in range(4):
            optimizer.zero_grad()
            if step == 2:
                with ddp.no_sync():
                    t.nn.functional.mse_loss(ddp(x[:2]), y[:2]).backward()
            t.nn.functional.mse_loss(ddp(x), y).backward()
            optimizer.step()
        found[name] = [p.detach().tolist() for p in net.parameters()]
        found[name, "buffers"] = [b.tolist() for b in net.buffers()]
    hooks = t.distributed.algorithms.ddp_comm_hooks.default_hooks
    for hook in (hooks.allreduce_hook, hooks.fp16_compress_hook):
        ddp = t.nn.parallel.DistributedDataParallel(network(t))
        ddp.register_comm_hook(None, hook)
        t.nn.functional.mse_loss(ddp(x), y).backward()
        found[hook.__name__] = [p.grad.tolist() for p in ddp.parameters()]
    ddp = t.nn.parallel.DistributedDataParallel(network(t))
    with ddp.no_sync():
        loss = t.nn.functional.mse_loss(ddp(x), y)
    ddp.reducer.prepare_for_backward([])  # what was computed without averaging is averaged after all
    loss.backward()
    found["prepared"] = [p.grad.tolist() for p in ddp.parameters()]
    found["unequal"] = unequal(t, rank, size)
    found["partly"] = partly(t, rank)
    for tied, reentrant, options in ((2, False, {}), (1, True, {}), (2, True, {"static_graph": True})):
        found["checkpoints", tied, reentrant] = checkpoints(t, rank, tied, reentrant, options)
    found["zero"] = in_parts(t, rank)
    d.barrier()
    return found


def unequal(t, rank, size):
    """The first member has fewer inputs."""
    x, y = (part.chunk(size)[rank] for part in batch(t))
    net = t.nn.Linear(6, 3).double()
    with t.no_grad():
        for p in net.parameters():
            p.fill_(0.1)
    ddp = t.nn.parallel.DistributedDataParallel(net)
    optimizer = t.optim.SGD(ddp.parameters(), 0.1)
    with ddp.join():
        for _ in range(1 if rank == 0 else 3):
            optimizer.zero_grad()
            t.nn.functional.mse_loss(ddp(x), y).backward()
            optimizer.step()
    return [p.detach().tolist() for p in net.parameters()]


def checkpoints(t, rank, times, reentrant, options):
    """Parameters after steps in which a layer has a part several times, within checkpoints."""
    class Net(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.middle, self.last = (t.nn.Linear(4, 4).double() for _ in range(3))
            with t.no_grad():
                for k, p in enumerate(self.parameters()):
                    p.copy_(t.sin(t.arange(p.numel()).double() + k).view(p.shape))

        def forward(self, x):
            x = t.tanh(self.first(x))
            for _ in range(times):
                x = t.utils.checkpoint.checkpoint(lambda x: t.tanh(self.middle(x)), x, use_reentrant=reentrant)
            return self.last(x)
    ddp = t.nn.parallel.DistributedDataParallel(Net(), **options)
    optimizer = t.optim.SGD(ddp.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        x = t.cos(t.arange(12).double() + rank).view(3, 4).requires_grad_()
        (ddp(x) ** 2).sum().backward()
        optimizer.step()
    return [p.detach().tolist() for p in ddp.parameters()]


def in_parts(t, rank):
    """Parameters and the consolidated state of an optimizer whose state is spread over the members."""
    net = t.nn.Sequential(t.nn.Linear(3, 5), t.nn.Linear(5, 2)).double()
    with t.no_grad():
        for k, p in enumerate(net.parameters()):
            p.copy_(t.cos(t.arange(p.numel()).double() + k).view(p.shape))
    zero = t.distributed.optim.ZeroRedundancyOptimizer
    optimizer = zero(net.parameters(), optimizer_class=t.optim.Adam, lr=0.1)
    schedule = t.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)

    def step():
        optimizer.zero_grad()
        net(t.arange(6.0).double().view(2, 3)).pow(2).sum().backward()
        optimizer.step()
    for _ in range(3):
        step()
        schedule.step()
    optimizer.consolidate_state_dict(to=1)
    found = [[p.detach().tolist() for p in net.parameters()], optimizer.param_groups[0]["lr"]]
    if rank == 1:
        state = optimizer.state_dict()
        names = "exp_avg", "exp_avg_sq"
        found.append([[state["state"][k][name].tolist() for name in names] for k in sorted(state["state"])])
        found.append(state["param_groups"][0]["params"])
    states = [optimizer.state_dict() if rank == 1 else None]
    t.distributed.broadcast_object_list(states, src=1)
    optimizer = zero(net.parameters(), optimizer_class=t.optim.Adam, lr=0.7)
    optimizer.load_state_dict(states[0])
    step()
    return [*found, [p.detach().tolist() for p in net.parameters()]]


def partly(t, rank):
    """Which parameters have gradients where some have no part in this member's, or in any member's, pass."""
    class Branches(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = t.nn.ModuleList([t.nn.Linear(2, 1, bias=False).double() for _ in range(3)])
            for k, part in enumerate(self.parts):
                t.nn.init.constant_(part.weight, k + 1.0)

        def forward(self, x, which):
            return self.parts[which](x)
    net = Branches()
    ddp = t.nn.parallel.DistributedDataParallel(net, find_unused_parameters=True)
    ddp(t.ones(3, 2).double(), min(rank, 1)).sum().backward()
    found = [None if part.weight.grad is None else part.weight.grad.tolist() for part in net.parts]
    strict = t.nn.parallel.DistributedDataParallel(Branches())
    strict(t.ones(3, 2).double(), 0).sum().backward()
    try:
        strict(t.ones(3, 2).double(), 0)
    except RuntimeError as error:
        found.append(str(error).split(":")[0].split(". ")[0])
    return found


def same_bits(t, rank, size):
    """The bits of sums whose order matters, of two runs."""
    found = []
    for count in (1000, 50_000):
        t.manual_seed(rank)
        x = t.randn(count) * 10 ** (3 * t.rand(count))
        twice = []
        for _ in range(2):
            y = x.clone()
            t.distributed.all_reduce(y)
            twice.append(y.numpy().tobytes())
        assert twice[0] == twice[1]
        found.append(twice[0])
    return found


def failing(t, rank, size, how):
    """The error of a member whose others call something else, come late or end."""
    d = t.distributed
    d.barrier()
    try:
        if how == "sizes":
            d.all_reduce(t.ones(3 + rank))
        elif how == "dtypes":
            d.all_reduce(t.ones(3, dtype=t.float64 if rank else t.float32))
        elif how == "operations":
            d.barrier() if rank else d.broadcast(t.ones(2), 1)
        elif how == "large":
            d.all_reduce(t.ones(100_000 + 1000 * rank))
        elif how == "late" and rank == 1:
            time.sleep(6)
        elif how == "monitored":
            if rank == 1:
                time.sleep(1)
            else:
                d.monitored_barrier(timeout=timedelta(seconds=0.5))
        elif how in ("killed", "killed receiving") and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "killed receiving":
            d.recv(t.ones(2), 1 if rank == 0 else None)
        else:
            d.all_reduce(t.ones(200_000))
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"


def without_norm(t):
    """:func:`network` without the normalisation."""
    net = network(t)
    return t.nn.Sequential(*[layer for layer in net if not isinstance(layer, t.nn.BatchNorm1d)])


def as_one(t, rank, size):
    """Parameters after steps in which each member has a part of the batch."""
    found = {}
    x, y = (part.chunk(size)[rank] for part in batch(t))
    for name, options in {"plain": {}, "small buckets": {"bucket_cap_mb": 0.0005}}.items():
        net = without_norm(t)
        if rank:
            with t.no_grad():
                for p in net.parameters():
                    p.zero_()  # the first member's are sent
        ddp = t.nn.parallel.DistributedDataParallel(net, **options)
        optimizer = t.optim.SGD(ddp.parameters(), 0.1, momentum=0.9)
        for _ in range(4):
            optimizer.zero_grad()
            t.nn.functional.mse_loss(ddp(x), y).backward()
            optimizer.step()
        found[name] = [p.detach().tolist() for p in net.parameters()]
    return found


def differing(t, rank, size):
    """The error where members have other networks."""
    try:
        t.nn.parallel.DistributedDataParallel(t.nn.Linear(2, 2 + rank))
    except RuntimeError as error:
        return str(error)
    return "no error"


def normalised(t, rank, size):
    """Outputs, gradients and running statistics of a normalisation over all members' batches."""
    n, found = t.nn, []
    for shape, momentum in (((4, 3), 0.1), ((4, 3, 5, 2), None)):
        net = n.SyncBatchNorm.convert_sync_batchnorm(n.Sequential(n.BatchNorm2d(3, momentum=momentum))).double()
        layer = net[0] if t.__name__ == "clgrad" else n.BatchNorm2d(3, momentum=momentum).double()
        with t.no_grad():
            layer.weight.copy_(t.tensor([0.5, 1.5, -1.0]))
        count = 1
        for length in shape:
            count *= length
        for _ in range(2):
            x = (t.sin(t.arange(count).double() * 1.3) * 2 + 100).view(shape)
            weights = t.cos(t.arange(count).double()).view(shape)
            if t.__name__ == "clgrad":
                rows = slice(0, 1) if rank == 0 else slice(1, 4)
                x, weights = x[rows], weights[rows]
            elif len(shape) == 2:
                x, weights = x[:, :, None, None], weights[:, :, None, None]
            x.requires_grad_()
            y = layer(x)
            (y * weights).sum().backward()
        found.append([y.flatten().tolist(), x.grad.flatten().tolist(), layer.running_mean.tolist(),
                      layer.running_var.tolist(),
                      layer.weight.grad.tolist(), layer.bias.grad.tolist(), int(layer.num_batches_tracked)])
        layer.eval()
        found[-1].append(layer(x).flatten().tolist())
    return found


def on_a_gpu(t, rank, size):
    """Sums of large and small tensors, and a step of training, on a device that the host cannot look into."""
    place = t.device("cl:0")
    found = []
    for count in (10, 30_000):
        x = (t.arange(count) % 13 * (rank + 1)).to(t.float32).to(place)
        work = t.distributed.all_reduce(x * 1, async_op=True)
        work.wait()
        found.append(bool((work.result()[0].cpu() == t.arange(count) % 13 * 3).all()))
    y = t.full((5,), rank, device=place)
    t.distributed.broadcast(y, 1)
    x, target = (part.chunk(size)[rank].to(place) for part in batch(t))
    net = without_norm(t).to(place)
    ddp = t.nn.parallel.DistributedDataParallel(net, device_ids=[place])
    optimizer = t.optim.SGD(ddp.parameters(), 0.1, momentum=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        t.nn.functional.mse_loss(ddp(x.cpu()), target).backward()
        optimizer.step()
    return [*found, y.tolist(), [p.detach().tolist() for p in net.parameters()]]
