"""The profiler in PyTorch's shape."""

from __future__ import annotations

import gzip
import json
import re
import threading

import pytest

import clgrad
from clgrad import profiler
from clgrad.autograd.listening import switch
from clgrad.profiler import ProfilerAction, profile, record_function
from clgrad.runtime import devices

# Where no device computes in the host's memory, times and bytes stand in other columns.
of_a_cpu = pytest.mark.skipif(not any(limits.is_cpu for limits in devices()), reason="this machine has no CPU device")


def work():
    return (clgrad.ones(2000).exp() + 1).sum().item()


def rows_of(prof, **options):
    return {row.key: row for row in prof.key_averages(**options)}


@of_a_cpu
def test_what_is_recorded():
    work()
    with profile(activities=[profiler.ProfilerActivity.CPU]) as prof:
        with record_function("mine"):
            work()
        record_function("decorated")(work)()
    rows = rows_of(prof)
    assert rows["mine"].count == rows["decorated"].count == 1
    assert [rows[f"aten::{name}"].count for name in ("ones", "exp", "add", "sum", "item")] == [2] * 5
    assert rows["pointwise_exp"].count == 2
    assert 0 < rows["pointwise_exp"].kernel_time_total == pytest.approx(rows["aten::exp"].kernel_time_total)
    assert rows["aten::exp"].cpu_time_total < rows["mine"].cpu_time_total + rows["decorated"].cpu_time_total
    assert rows["aten::exp"].cpu_time == rows["aten::exp"].cpu_time_total / 2
    assert rows["aten::exp"].cuda_time_total == 0
    assert rows["mine"].is_user_annotation
    assert not rows["aten::exp"].is_user_annotation


def test_events_know_who_called_them_and_which_kernels_they_launched():
    x = clgrad.rand(3, 4)
    weight = clgrad.rand(4)
    with profile(record_shapes=True) as prof, record_function("mine"):
        clgrad.nn.functional.layer_norm(x, (4,), weight)
    events = {event.name: event for event in prof.events()}
    mine, norm = events["mine"], events["aten::layer_norm"]
    assert norm.cpu_parent is mine
    assert norm.input_shapes == [[3, 4], [], [4]]
    assert mine.start <= norm.start
    assert norm.start + norm.seconds <= mine.start + mine.seconds
    assert mine.self_cpu_time_total == pytest.approx(mine.cpu_time_total - norm.cpu_time_total)
    launches = [event for event in prof.events() if event.kind == "kernel"]
    made = [launch for event in prof.events() for launch in event.kernels]
    assert launches
    assert sorted(launch.id for launch in launches) == sorted(launch.id for launch in made)
    assert 0 < norm.kernel_time_total <= mine.kernel_time_total
    assert norm.time_range.elapsed_us() == pytest.approx(norm.cpu_time_total)


def test_backward_nodes_and_steps_of_optimizers():
    w = clgrad.ones(3, requires_grad=True)
    optimizer = clgrad.optim.SGD([w], lr=0.1)
    with profile() as prof:
        (w * clgrad.arange(3.0)).sum().backward()
        optimizer.step()
    rows = rows_of(prof)
    assert rows["MulBackward0"].count == rows["SumBackward0"].count == rows["Optimizer.step#SGD.step"].count == 1
    assert rows["MulBackward0"].kernel_time_total > 0
    assert rows["Optimizer.step#SGD.step"].kernel_time_total > 0


def test_rows_by_shape():
    with profile(record_shapes=True) as prof:
        for size in (3, 5, 5):
            clgrad.zeros(size) + 1
    found = sorted((row.count, row.input_shapes) for row in prof.key_averages(group_by_input_shape=True)
                   if row.key == "aten::add")
    assert found == [(1, [[3], []]), (2, [[5], []])]
    assert "[[5], []]" in prof.key_averages(group_by_input_shape=True).table()


@of_a_cpu
def test_memory():
    with profile(profile_memory=True) as prof:
        kept = clgrad.rand(1000, 1000)
        clgrad.rand(1000, 1000).exp()
        del kept
    rand, exp = rows_of(prof)["aten::rand"], rows_of(prof)["aten::exp"]
    assert 8e6 <= rand.self_cpu_memory_usage <= 9e6
    assert 4e6 <= exp.cpu_memory_usage <= 4.6e6
    assert exp.device_memory_usage == 0
    assert " MB" in prof.key_averages().table(sort_by="self_cpu_memory_usage")


def test_operations_and_bytes_and_the_share_of_what_the_device_can_do():
    a, b = clgrad.rand(64, 32), clgrad.rand(32, 16)
    with profile(with_flops=True) as prof:
        a @ b
        a + a
    rows = rows_of(prof)
    assert rows["aten::matmul"].flops == 2 * 64 * 32 * 16
    assert rows["pointwise_add"].flops == 64 * 32
    assert rows["aten::add"].bytes == 3 * 4 * 64 * 32
    table = prof.key_averages().table()
    assert "% of peak" in table
    assert "%" in next(line for line in table.splitlines() if "pointwise_add" in line).split()[-1]


@of_a_cpu
def test_tables():
    with profile() as prof:
        work()
    table = prof.key_averages().table(sort_by="cpu_time_total", row_limit=2, header="HEAD")
    lines = table.splitlines()
    assert len(lines) == 8
    assert lines[0] == "HEAD"
    assert lines[-1].startswith("Self CPU time total: ")
    for title in ("Name", "Self CPU %", "Self CPU", "CPU total", "CPU time avg", "# of Calls"):
        assert title in lines[2]
    totals = [row.self_cpu_time_total for row in prof.key_averages() if row.kind != "kernel"]
    assert prof.key_averages().self_cpu_time_total == pytest.approx(sum(totals))
    assert prof.key_averages().total_average().self_cpu_time_total == pytest.approx(sum(totals))
    units = {cell.lstrip("0123456789.") for line in prof.key_averages().table(time_unit="ms").splitlines()
             for cell in line.split() if re.fullmatch(r"[\d.]+m?u?s", cell)}
    assert units == {"ms"}
    with pytest.raises(ValueError, match="time_unit must be one of s, ms, us, not 'h'"):
        prof.key_averages().table(time_unit="h")
    with pytest.raises(AttributeError, match="no field 'colour'"):
        prof.key_averages().table(sort_by="colour")
    assert "aten::exp" in str(prof.key_averages())


def test_traces(tmp_path):
    with profile(record_shapes=True) as prof, record_function("mine"):
        work()
    prof.add_metadata("program", "test")
    prof.export_chrome_trace(tmp_path / "trace.json")
    content = json.loads((tmp_path / "trace.json").read_text())
    assert content["program"] == "test"
    kinds = {event["name"]: event["cat"] for event in content["traceEvents"]}
    assert kinds["mine"] == "user_annotation"
    assert kinds["aten::exp"] == "cpu_op"
    assert kinds["pointwise_exp"] == "kernel"
    assert all(event["dur"] >= 0 and event["ts"] >= 0 for event in content["traceEvents"])
    prof.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    with gzip.open(tmp_path / "trace.json.gz", "rt") as file:
        assert len(json.load(file)["traceEvents"]) == len(content["traceEvents"])


def test_stacks(tmp_path):
    with profile(with_stack=True) as prof:
        work()
    exp = next(event for event in prof.events() if event.name == "aten::exp")
    assert exp.stack[0].endswith(": work")
    assert __file__ in exp.stack[0]
    prof.export_stacks(tmp_path / "stacks.txt", "self_cpu_time_total")
    lines = (tmp_path / "stacks.txt").read_text().splitlines()
    assert any("test_stacks;" in line and "work" in line for line in lines)
    assert all(line.rpartition(" ")[2].isdigit() for line in lines)
    assert "Source Location" in prof.key_averages(group_by_stack_n=1).table()
    with profile() as prof, record_function("mine"):
        work()
    prof.export_stacks(tmp_path / "names.txt")
    assert "mine;aten::exp" in (tmp_path / "names.txt").read_text()


def test_threads_have_their_own_operators():
    x = clgrad.rand(4)
    with profile() as prof, record_function("main"):
        worker = threading.Thread(target=lambda: x.exp())
        worker.start()
        worker.join()
    exp = next(event for event in prof.events() if event.name == "aten::exp")
    assert exp.cpu_parent is None
    assert exp.thread != threading.get_ident()


def test_schedule(torch):
    for arguments in (dict(wait=1, warmup=1, active=2, repeat=2), dict(wait=0, warmup=1, active=1, skip_first=3),
                      dict(wait=2, warmup=1, active=1, skip_first=1, repeat=1)):
        ours, theirs = profiler.schedule(**arguments), torch.profiler.schedule(**arguments)
        assert [ours(n).name for n in range(14)] == [theirs(n).name for n in range(14)]
    assert ours(0) is ProfilerAction.NONE


def test_steps_and_handlers(tmp_path):
    seen = []
    with profile(schedule=profiler.schedule(wait=1, warmup=1, active=2, repeat=1),
                 on_trace_ready=lambda prof: seen.append((prof.step_num, rows_of(prof)["aten::exp"].count))) as prof:
        for _ in range(6):
            work()
            prof.step()
    assert seen == [(4, 2)]
    assert {"ProfilerStep#2", "ProfilerStep#3"} == {event.name for event in prof.events() if event.name.startswith("Prof")}
    with profile(schedule=profiler.schedule(wait=0, warmup=0, active=1), acc_events=True) as prof:
        for _ in range(3):
            work()
            prof.step()
    assert rows_of(prof)["aten::exp"].count == 3
    with profile(on_trace_ready=profiler.tensorboard_trace_handler(str(tmp_path / "log"), "me")):
        work()
    assert [p.name.split(".")[0] for p in (tmp_path / "log").iterdir()] == ["me"]
    with profile(schedule=profiler.schedule(wait=0, warmup=5, active=1)):
        work()
    work()
    assert switch.observers == ()


def test_the_older_spelling():
    older = clgrad.autograd.profiler
    with older.profile(record_shapes=True, use_cuda=False) as prof, older.record_function("mine"):
        work()
    assert prof.self_cpu_time_total > 0
    assert {"mine", "aten::exp"} <= {event.name for event in prof.function_events}
    assert prof.total_average().count == len(prof.function_events)
    assert "aten::exp" in prof.table()
    with clgrad.autograd.profiler.profile(enabled=False) as prof, clgrad.autograd.profiler.emit_nvtx():
        work()
    assert list(prof.function_events) == []


def test_names_are_those_of_pytorch(torch):
    """Of the operators that a program calls itself."""
    def program(library):
        x = library.ones(2, 3)
        return (x + 1).mul(2).relu().sum(), library.cat([x, x]), x.t(), library.softmax(x, 1), x.view(6), library.mm(x, x.t())

    def names(library):
        program(library)
        with library.profiler.profile() as prof:
            program(library)
        return {event.name for event in prof.events() if event.cpu_parent is None and event.name.startswith("aten::")}

    assert names(clgrad) == names(torch)
