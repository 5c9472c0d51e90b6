"""Schedules of learning rates: equal PyTorch's, epoch by epoch, and after a reload."""

from __future__ import annotations

import pytest

import clgrad

SCHEDULES = {
    "step": lambda s, o: s.StepLR(o, 3, 0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5], 0.5),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 4, 0.01),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "lambda": lambda s, o: s.LambdaLR(o, lambda epoch: 0.95**epoch),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.95),
    "linear": lambda s, o: s.LinearLR(o, 0.2, 0.9, 4),
    "constant": lambda s, o: s.ConstantLR(o, 0.5, 3),
    "polynomial": lambda s, o: s.PolynomialLR(o, 6, 2.0),
    "onecycle": lambda s, o: s.OneCycleLR(o, [1.0, 0.5], total_steps=100),
    "onecycle3": lambda s, o: s.OneCycleLR(o, 1.0, epochs=25, steps_per_epoch=4, three_phase=True,
                                           anneal_strategy="linear"),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 3, 4, mode="triangular2"),
    "cyclic gamma": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.2, 3, mode="exp_range", gamma=0.9),
    "cyclic function": lambda s, o: s.CyclicLR(o, 0.01, 0.2, 3, scale_fn=lambda x: 0.9**x, cycle_momentum=False),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 4), s.ExponentialLR(o, 0.9)]),
    "swa": lambda s, o: _swa(s)(o, [0.05, 0.01], 4),
    "sequential": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9), s.StepLR(o, 2)],
                                              [3, 6]),
}


def _swa(schedulers):
    library = clgrad if schedulers is clgrad.optim.lr_scheduler else pytest.importorskip("torch")
    return library.optim.swa_utils.SWALR


def optimizer_of(lib):
    a, b = lib.nn.Parameter(lib.ones(1)), lib.nn.Parameter(lib.ones(1))
    return lib.optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.3}], lr=0.1, momentum=0.9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates(torch, name):
    rates = []
    for lib in (clgrad, torch):
        optimizer = optimizer_of(lib)
        scheduler = SCHEDULES[name](lib.optim.lr_scheduler, optimizer)
        found = [scheduler.get_last_lr()]
        for _ in range(99):
            optimizer.step()
            scheduler.step()
            found.append([*scheduler.get_last_lr(), *[g["momentum"] for g in optimizer.param_groups]])
        rates.append([value for values in found for value in values])
    assert rates[0] == pytest.approx(rates[1], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", ["step", "cosine", "lambda", "sequential", "onecycle"])
def test_reload(name):
    optimizer = optimizer_of(clgrad)
    scheduler = SCHEDULES[name](clgrad.optim.lr_scheduler, optimizer)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    saved = scheduler.state_dict(), optimizer.state_dict()
    other = optimizer_of(clgrad)
    resumed = SCHEDULES[name](clgrad.optim.lr_scheduler, other)
    other.load_state_dict(saved[1])
    resumed.load_state_dict(saved[0])
    for o, s in ((optimizer, scheduler), (other, resumed)):
        o.step()
        s.step()
    assert scheduler.get_last_lr() == pytest.approx(resumed.get_last_lr())


@pytest.mark.parametrize("options", [{}, {"mode": "max", "threshold_mode": "abs", "threshold": 0.1},
                                     {"patience": 1, "cooldown": 2, "min_lr": 0.05, "factor": 0.5}])
def test_plateau(torch, options):
    metrics = [1.0, 0.9, 0.95, 0.91, 0.9, 0.9, 0.9, 0.9, 0.9, 0.8, 0.9, 0.9, 0.9, 0.9]
    rates = []
    for lib in (clgrad, torch):
        optimizer = optimizer_of(lib)
        scheduler = lib.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **{"patience": 2, **options})
        found = []
        for metric in metrics:
            scheduler.step(metric)
            found += [group["lr"] for group in optimizer.param_groups]
        rates.append(found)
    assert rates[0] == pytest.approx(rates[1])


def test_order_and_errors():
    optimizer = optimizer_of(clgrad)
    scheduler = clgrad.optim.lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    with pytest.raises(TypeError, match="is not an Optimizer"):
        clgrad.optim.lr_scheduler.StepLR(3, 2)
    with pytest.raises(KeyError, match="initial_lr"):
        clgrad.optim.lr_scheduler.StepLR(optimizer_of(clgrad), 2, last_epoch=3)


def test_averaged_model(torch):
    found = []
    for lib in (clgrad, torch):
        swa = lib.optim.swa_utils
        model = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.BatchNorm1d(3))
        averages = [swa.AveragedModel(model), swa.AveragedModel(model, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9)),
                    swa.AveragedModel(model, avg_fn=swa.get_ema_avg_fn(0.8), use_buffers=True)]
        for step in range(4):
            with lib.no_grad():
                for p in model.parameters():
                    p.fill_(float(step * step))
            for averaged in averages:
                averaged.update_parameters(model)
        data = [lib.tensor([[1.0, 2.0], [3.0, -1.0]]), lib.tensor([[0.0, 2.0], [5.0, 5.0]])]
        swa.update_bn(data, averages[0])
        found.append([float(value) for averaged in averages for t in averaged.state_dict().values()
                      for value in t.reshape(-1).tolist()])
        assert int(averages[0].n_averaged) == 4
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_get_lr_outside_of_a_step_warns():
    with pytest.warns(UserWarning, match="get_last_lr"):
        clgrad.optim.lr_scheduler.StepLR(optimizer_of(clgrad), 2).get_lr()
