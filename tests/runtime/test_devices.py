"""Devices: names, choice, what a bad machine answers, forks, threads, builds."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest

import clgrad
from clgrad.errors import BuildError, NoDeviceError
from clgrad.runtime import Bound
from tests.runtime.scripts import run

# ``clgrad.runtime.devices`` is also a function's name.
devices = sys.modules["clgrad.runtime.devices"]


def test_names(torch):
    for library in (clgrad, torch):
        assert repr(library.device("cpu")) == "device(type='cpu')"
        assert repr(library.device("cuda:0")) == "device(type='cuda', index=0)"
        assert repr(library.device("cuda", 0)) == "device(type='cuda', index=0)"
        assert str(library.device("cuda:1")) == "cuda:1"
        assert library.device("cuda:1") == library.device("cuda", 1)
        assert library.device(library.device("cpu")) == library.device("cpu")
        assert (library.device("cuda:1").type, library.device("cuda:1").index) == ("cuda", 1)
        for wrong in ("gpu9x", "cuda:x", "cuda:", "cpu:-1", ""):
            with pytest.raises(RuntimeError):
                library.device(wrong)
        with pytest.raises(RuntimeError):
            library.device("cuda:0", 1)
        with pytest.raises(TypeError):
            library.device(1.5)
    assert clgrad.device("gpu:1") == clgrad.device("cuda:1")


def test_a_device_that_is_not_there():
    with pytest.raises(NoDeviceError, match="cl:99.*Devices: cl:0"):
        clgrad.zeros(2, device="cl:99").add_(1)
    with pytest.raises(NoDeviceError, match="no OpenCL device is called 'abacus'; there are: cl:0"):
        clgrad.set_default_device("abacus")
    assert clgrad.ones(1).device == clgrad.device("cpu")
    if not clgrad.cuda.is_available():
        with pytest.raises(NoDeviceError, match="0 OpenCL GPUs"):
            clgrad.ones(2).cuda().add_(1)


def test_no_device_at_all(monkeypatch):
    monkeypatch.setattr(devices, "_found", [])
    with pytest.raises(NoDeviceError, match="no OpenCL device.*pip install pocl-binary-distribution"):
        devices.resolve(clgrad.device("cpu"))


def test_a_platform_that_fails_leaves_the_others():
    class Broken:
        def get_devices(self):
            raise devices.cl.RuntimeError("driver is ill")
    monkeypatch = pytest.MonkeyPatch()
    working = devices.cl.get_platforms()
    with monkeypatch.context() as patched:
        patched.setattr(devices.cl, "get_platforms", lambda: [Broken(), *working])
        assert len(devices._ask_drivers()) == sum(len(devices._with_companions(p.get_devices())) for p in working)

        def fails():
            raise devices.cl.LogicError("PLATFORM_NOT_FOUND_KHR")
        patched.setattr(devices.cl, "get_platforms", fails)
        assert devices._ask_drivers() == []


def test_importing_opens_nothing_and_loads_no_driver():
    done = run("""
    import sys
    import clgrad
    assert "pyopencl._cl" not in sys.modules, "the driver's binding was loaded"
    devices = sys.modules["clgrad.runtime.devices"]
    print(devices._found, devices._opened)
    """)
    assert done.stdout.strip() == "None {}"


@pytest.mark.parametrize(("choice", "expected"), [(None, "cpu"), ("cpu", "cpu"), ("cl:0", "cl:0")])
def test_the_environment_chooses(choice, expected):
    assert run("import clgrad; print((clgrad.ones(2) + 1).device)", CLGRAD_DEVICE=choice).stdout.strip() == expected


def test_part_of_a_name_chooses():
    name = devices.devices()[0].platform.split()[0].lower()
    assert run(f"import clgrad; clgrad.set_default_device({name!r}); print((clgrad.ones(2) + 1).sum().item())"
               ).stdout.strip() == "4.0"
    assert run("import clgrad; print((clgrad.ones(2) + 1).sum().item())", CLGRAD_DEVICE=name).stdout.strip() == "4.0"


def test_an_unknown_choice_is_an_error():
    done = run("import clgrad; clgrad.ones(2)", expect=1, CLGRAD_DEVICE="abacus")
    assert "NoDeviceError: no OpenCL device is called 'abacus'; there are: cl:0" in done.stderr


def test_memory_of_its_own_makes_a_gpu():
    run("""
    import clgrad
    assert clgrad.cuda.is_available() and clgrad.cuda.device_count() >= 1
    x = clgrad.ones(2).cuda()
    assert x.is_cuda and str(x.device) == "cuda:0"
    y = (x * 3).cpu()
    assert str(y.device) == "cpu" and y.tolist() == [3.0, 3.0]
    assert x.cuda() is x and (x + x).device == x.device
    assert repr(x) == "tensor([1., 1.], device='cuda:0')"
    assert clgrad.zeros(2, device="gpu").is_cuda
    w = clgrad.ones(2, requires_grad=True)
    (w.cuda() * 2).sum().backward()
    assert w.grad.tolist() == [2.0, 2.0] and str(w.grad.device) == "cpu"
    """, CLGRAD_DISCRETE="1")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_gets_an_error_and_no_hang():
    done = run("""
    import os, sys, warnings
    warnings.simplefilter("ignore")
    import clgrad
    x = clgrad.ones(4) + 1
    x.tolist()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            x + 1
        except clgrad.errors.ForkedProcessError as error:
            status = 0 if "spawn" in str(error) and "forkserver" in str(error) else 2
        os._exit(status)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), (x + 1).tolist())
    """)
    assert done.stdout.strip() == "0 [3.0, 3.0, 3.0, 3.0]"


def test_a_child_forked_before_the_first_use_works():
    done = run("""
    import os, warnings
    warnings.simplefilter("ignore")
    import clgrad
    child = os.fork()
    if child == 0:
        os._exit(0 if (clgrad.ones(2) + 1).tolist() == [2.0, 2.0] else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert done.stdout.strip() == "0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_of_a_process_that_only_listed_devices_gets_an_error():
    done = run("""
    import os
    import clgrad
    from clgrad.errors import ForkedProcessError
    from clgrad.runtime import devices
    devices()
    child = os.fork()
    if child == 0:
        try:
            clgrad.ones(2) + 1
        except ForkedProcessError:
            os._exit(7)
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert done.stdout.strip() == "7"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_forked_amid_launches_reads_what_it_filled():
    done = run("""
    import os
    import clgrad
    x = clgrad.ones(1 << 20)
    for _ in range(20):
        x = x.sin()
    child = os.fork()
    if child == 0:
        os._exit(0 if clgrad.zeros(2).tolist() == [0.0, 0.0] and clgrad.ones(3).numpy().sum() == 3 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert done.stdout.strip() == "0", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_what_a_child_writes_into_a_tensor_stays_its_own():
    done = run("""
    import os
    import clgrad
    small, large = (clgrad.zeros(n) + 1 for n in (10, 1 << 20))
    arrays = [t.numpy() for t in (small, large)]
    child = os.fork()
    if child == 0:
        for array in arrays:
            array[0] = 5
        os._exit(0)
    os.waitpid(child, 0)
    print(float(small[0]), float(large[0]))
    """)
    assert done.stdout.strip() == "1.0 1.0"


def run_once(device, kernel):
    device.run(Bound(kernel, (1,), (1,), 1, "", (), (0, 0)), (device.allocate(4).buffer,), ())


def test_a_build_error_shows_file_macros_and_log():
    device = clgrad.device("cpu").compute
    with pytest.raises(BuildError) as caught:
        run_once(device, device.kernel("elementwise.cl", "nothing", {"ODD_MACRO": 17}, "P", prelude="this is not C;"))
    text = str(caught.value)
    assert "elementwise.cl does not compile" in text
    assert "ODD_MACRO=17" in text
    assert "this is not C;" in text
    assert "error" in text.lower().split("log:")[1]
    with pytest.raises(BuildError, match="not found"):
        run_once(device, device.kernel("no_such_file.cl", "f", {}, "P"))
    assert (clgrad.ones(2) + 1).tolist() == [2, 2]


def test_small_launches_run_in_the_callers_thread_and_keep_their_order():
    device = clgrad.device("cpu").compute
    if device.here is None:
        pytest.skip("this device has one lane")
    x = clgrad.ones(8)
    x.exp()
    clgrad.synchronize()
    x.exp()
    assert device._latest is None
    large = clgrad.ones(1 << 22)
    for _ in range(3):
        large = large * 1.5
    total = large[-8:] + x  # small, and must wait for the large ones
    assert total.tolist() == [1.5 ** 3 + 1] * 8
    clgrad.synchronize()
    assert device._latest is None


def test_threads_compute_what_one_would():
    def work(number):
        x = clgrad.full((50, 40), number / 8, requires_grad=True)
        total = 0.0
        for k in range(5):
            y = (x @ x.t()).tanh().sum(1) * (k + 1)
            z = y[::2].exp().mean() + x.view(-1)[number:].sum()
            z.backward()
            total += z.item()
        array = x.grad.numpy().copy()
        return total, array
    serial = [work(number) for number in range(8)]
    found: list = [None] * 8
    failures = []

    def guarded(number):
        try:
            found[number] = work(number)
        except Exception as error:
            failures.append(error)
    for _ in range(2):
        threads = [threading.Thread(target=guarded, args=(n,)) for n in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert failures == []
        for (total, array), (wanted, reference) in zip(found, serial, strict=True):
            assert total == wanted, "not the same bits"
            np.testing.assert_array_equal(array, reference)


def test_threads_build_new_kernels_at_once():
    run("""
    import threading
    import clgrad
    failures = []
    def work(n):
        try:
            for kind in (clgrad.float32, clgrad.int32):
                x = clgrad.ones(10, dtype=kind)
                assert (x + n).sum().item() == 10 * (n + 1)
                assert (x * n - x).max().item() == n - 1
        except Exception as error:
            failures.append(error)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert failures == [], failures
    """)


def test_synchronize():
    x = clgrad.ones(1000) + 1
    clgrad.synchronize()
    clgrad.synchronize("cpu")
    device = x.device.compute
    assert device.clock.completed == device.clock.submitted
