"""Work-groups on devices, and of compiled kernels, that allow few work-items."""

from __future__ import annotations

from dataclasses import replace

import pytest

import clgrad
from clgrad.errors import DeviceError
from clgrad.runtime.kernel import cl, fitting

WORK_GROUP_SIZE = cl.kernel_work_group_info.WORK_GROUP_SIZE


class Compiled:
    """A compiled kernel that allows ``allowed`` work-items a group; ``required``: its source demands a size."""

    function_name = "pointwise_example"

    def __init__(self, allowed: int, required: tuple[int, int, int] = (0, 0, 0)):
        self.allowed, self.required = allowed, required

    def get_work_group_info(self, what, device):
        return self.allowed if what == WORK_GROUP_SIZE else self.required


@pytest.mark.parametrize(("wanted", "allowed", "expected"), [
    ((256,), 256, (256,)), ((256,), 100, (64,)), ((64, 4, 1), 64, (16, 4, 1)), ((1, 1), 1, (1, 1)),
    ((8, 8, 1), 1, (1, 1, 1))])
def test_a_group_shrinks_to_what_the_compiled_kernel_allows(wanted, allowed, expected):
    assert fitting(Compiled(allowed), clgrad.device("cpu").compute.lane, wanted) == expected


def test_a_kernel_that_demands_more_than_the_device_allows_is_an_error():
    lane = clgrad.device("cpu").compute.lane
    with pytest.raises(DeviceError, match="pointwise_example is written for work-groups of 256 work-items.*allows 128"):
        fitting(Compiled(128, (256, 1, 1)), lane, (256, 1, 1))


@pytest.mark.parametrize(("allowed", "sizes", "expected"), [(4096, 4096, 256), (100, 4096, 64), (1024, 96, 64)])
def test_group_sizes_are_powers_of_two_that_the_device_allows(allowed, sizes, expected):
    limits = replace(clgrad.device("cpu").compute.limits, max_work_group=allowed, max_work_item_sizes=(sizes, 1, 1))
    assert limits.group(256) == expected


def test_which_form_of_the_kernels_a_device_gets():
    limits = clgrad.device("cpu").compute.limits
    def form(**changes):
        return replace(limits, **changes).items_are_threads
    assert form(is_cpu=True, local_is_global=True, max_work_group=4096)
    assert not form(is_cpu=True, local_is_global=False, max_work_group=1024)  # a CPU that emulates a GPU
    assert not form(is_cpu=False, local_is_global=False, max_work_group=256)
    assert form(is_cpu=False, local_is_global=False, max_work_group=16)  # too small for tiles
