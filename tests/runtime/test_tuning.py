"""Tuned numbers: which table counts, what becomes of a damaged one, and the command that writes it."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import pytest

import clgrad
from clgrad import tune as command
from clgrad.__main__ import main
from clgrad.kernels import gemm
from clgrad.runtime import tuning


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The path of this machine's table, which does not exist yet."""
    path = tmp_path / "folder" / "tuning.json"
    monkeypatch.setenv("CLGRAD_TUNING", str(path))
    monkeypatch.setattr(tuning, "SHIPPED", {})
    tuning.forget()
    gemm._tuning.cache_clear()
    yield path
    tuning.forget()
    gemm._tuning.cache_clear()


@pytest.fixture
def limits():
    return clgrad.device("cpu").compute.limits


def test_without_a_table_the_launchers_own_numbers_count(table, limits):
    assert tuning.tuned(limits, "gemm") == {}
    assert gemm._tuning(limits) == gemm.Tuning()


def test_shipped_numbers_go_by_the_device_name_and_measured_ones_come_first(table, limits, monkeypatch):
    monkeypatch.setattr(tuning, "SHIPPED", {"gemm": {limits.name: {"block_depth": 128, "block_rows": 64},
                                                     "another device": {"block_depth": 512}}})
    assert tuning.tuned(limits, "gemm") == {"block_depth": 128, "block_rows": 64}
    tuning.store(limits, "gemm", {"block_depth": 384})
    assert tuning.tuned(limits, "gemm") == {"block_depth": 384, "block_rows": 64}


def test_a_stored_table_is_used_in_the_next_process(table, limits):
    device = clgrad.device("cpu").compute
    name, values = next(iter(gemm.candidates(device).items()))
    value = next(v for v in values if v != getattr(gemm.Tuning(), name))
    assert tuning.store(limits, "gemm", {name: value, "few_rows": 7, "unknown": 3}) == table
    tuning.store(limits, "conv", {"tile": 8})
    tuning.forget()
    assert tuning.tuned(limits, "conv") == {"tile": 8}
    # What the launcher does not know, and values that no candidate has, are left out.
    expected = replace(gemm.Tuning(), **{name: value})
    assert gemm._tuning(limits) == expected
    size = 8, 600, 600, (0, 600, 1), (0, 600, 1), (0, 600, 1)
    used, given, default = (gemm.plan(device, clgrad.float32, 1, *size, tuning=numbers).bound
                            for numbers in (None, expected, gemm.Tuning()))
    assert (used.constants, used.kernel) == (given.constants, given.kernel)
    assert (used.constants, used.kernel) != (default.constants, default.kernel)


def test_another_driver_or_device_or_version_drops_the_entry(table, limits):
    tuning.store(limits, "gemm", {"block_depth": 128})
    assert tuning.tuned(replace(limits, driver="next"), "gemm") == {}
    assert tuning.tuned(replace(limits, name="other"), "gemm") == {}
    assert tuning.tuned(replace(limits, is_cpu=not limits.is_cpu), "gemm") == {}
    tuning.store(replace(limits, driver="next"), "gemm", {"block_depth": 192})
    assert tuning.tuned(limits, "gemm") == {}
    content = json.loads(table.read_text())
    table.write_text(json.dumps(content | {"version": 999}))
    tuning.forget()
    assert tuning.tuned(replace(limits, driver="next"), "gemm") == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 1, "devices": 3}', '{"version": 1, "devices": {"a": 1}}',
                                  '{"version": 1, "devices": {"a": {"driver": "1", "gemm": {"block_depth": "x"}}}}'])
def test_a_damaged_table_is_ignored_with_one_warning(table, limits, text):
    table.parent.mkdir()
    table.write_text(text)
    with pytest.warns(RuntimeWarning, match="is ignored") as caught:
        assert tuning.tuned(limits, "gemm") == {}
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tuning.tuned(limits, "gemm") == {}
    tuning.store(limits, "gemm", {"block_depth": 128})
    tuning.forget()
    assert tuning.tuned(limits, "gemm") == {"block_depth": 128}


def test_the_command_measures_and_writes(table, limits, monkeypatch, capsys):
    monkeypatch.setattr(command, "SHAPES", ((40, 50, 60, True, False), (3, 50, 60, False, True)))
    monkeypatch.setattr(gemm, "_CANDIDATES", {True: {"block_depth": (128, 256), "few_rows": (4, 16)},
                                              False: {"per_item": (2, 4)}})
    assert main(["tune", "--device", "cpu"]) == 0
    written = json.loads(table.read_text())["devices"]
    ((name, entry),) = written.items()
    assert limits.name in name and entry["driver"] == limits.driver
    assert set(entry["gemm"]) == set(gemm.candidates(clgrad.device("cpu").compute))
    assert str(table) in capsys.readouterr().out


def test_a_candidate_with_wrong_results_is_passed_over(table, monkeypatch):
    monkeypatch.setattr(command, "SHAPES", ((4, 5, 6, False, False),))
    monkeypatch.setattr(gemm, "_CANDIDATES", {True: {"block_depth": (256, 128)}, False: {"per_item": (4, 2)}})
    device, said = clgrad.device("cpu").compute, []
    real = gemm.plan

    def broken(*arguments, tuning):
        wrong = tuning != gemm.Tuning()
        return real(*arguments, tuning=tuning, alpha=2 if wrong else 1)
    monkeypatch.setattr(gemm, "plan", broken)
    monkeypatch.setattr(command, "GAIN", 100.0)  # else anything would be taken
    chosen = command.tune(device, rounds=1, say=said.append)
    assert all(value == getattr(gemm.Tuning(), name) for name, value in chosen.items())
    assert any("passed over" in line for line in said)


def test_a_table_that_cannot_be_written_is_a_failure(table, monkeypatch, capsys):
    def full(*_):
        raise OSError("no space left")
    monkeypatch.setattr(command.tuning, "store", full)
    monkeypatch.setattr(command, "SHAPES", ((4, 5, 6, False, False),))
    monkeypatch.setattr(gemm, "_CANDIDATES", {True: {}, False: {}})
    assert main(["tune", "--device", "cpu"]) == 1
    assert "no space left" in capsys.readouterr().out
