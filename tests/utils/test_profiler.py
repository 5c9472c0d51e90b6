"""The profiler in PyTorch's shape."""

from __future__ import annotations

import json

import pytest

import clgrad
from clgrad import profiler
from clgrad.profiler import ProfilerAction, profile, record_function


def work():
    return (clgrad.ones(2000).exp() + 1).sum().item()


def test_what_is_recorded(tmp_path):
    work()
    with profile(activities=[profiler.ProfilerActivity.CPU], record_shapes=True) as prof:
        with record_function("mine"):
            work()
        record_function("decorated")(work)()
    rows = {row.key: row for row in prof.key_averages()}
    assert rows["mine"].count == rows["decorated"].count == 1 and rows["pointwise_exp"].count == 2
    assert 0 < rows["pointwise_exp"].cpu_time_total < rows["mine"].cpu_time_total + rows["decorated"].cpu_time_total
    mine = next(event for event in prof.events() if event.name == "mine")
    inside = [e for e in prof.events() if e.place == "cpu" and mine.start - 1e-3 < e.start < mine.start + mine.seconds + 1e-3]
    assert inside  # launches stand where the range is, on one clock
    table = prof.key_averages().table(sort_by="cpu_time_total", row_limit=2)
    assert len(table.splitlines()) == 7 and "CPU total" in table
    assert [r.key for r in prof.key_averages()][0] in ("mine", "decorated")
    with pytest.raises(AttributeError, match="no field 'colour'"):
        prof.key_averages().table(sort_by="colour")
    prof.export_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {"mine", "pointwise_exp"} <= {e["name"] for e in events} and all(e["dur"] >= 0 for e in events)


def test_schedule(torch):
    for arguments in (dict(wait=1, warmup=1, active=2, repeat=2), dict(wait=0, warmup=1, active=1, skip_first=3),
                      dict(wait=2, warmup=1, active=1, skip_first=1, repeat=1)):
        ours, theirs = profiler.schedule(**arguments), torch.profiler.schedule(**arguments)
        assert [ours(n).name for n in range(14)] == [theirs(n).name for n in range(14)]
    assert ours(0) is ProfilerAction.NONE


def test_steps_and_handlers(tmp_path):
    seen = []
    with profile(schedule=profiler.schedule(wait=1, warmup=1, active=2, repeat=1),
                 on_trace_ready=lambda prof: seen.append((prof.step_num, len(prof.events())))) as prof:
        for _ in range(6):
            work()
            prof.step()
    assert len(seen) == 1 and seen[0][0] == 4 and seen[0][1] >= 2
    with profile(on_trace_ready=profiler.tensorboard_trace_handler(str(tmp_path / "log"), "me")):
        work()
    assert [p.name.split(".")[0] for p in (tmp_path / "log").iterdir()] == ["me"]
    work()
    assert profiler._ranges == []
