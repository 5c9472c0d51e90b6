"""What detectors do with boxes: which of them stay, and regions of feature maps brought to one size.

PyTorch alone has neither. Its rows do the same with its operators: overlaps of all pairs and a loop over boxes, and
``grid_sample`` of a picture at the samples of its regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import clgrad
from benchmarks.measure import Row, values
from clgrad.vision import ops


def boxes(count: int, side: float, longest: float) -> np.ndarray:
    """Boxes (count, 4) in a square, the same in every run."""
    drawn = np.random.default_rng(count)
    corners = drawn.uniform(0, side, (count, 2))
    return np.concatenate([corners, corners + drawn.uniform(longest / 10, longest, (count, 2))], 1).astype(np.float32)


def _overlapping(torch: Any, found: Any) -> Any:
    low, high = torch.maximum(found[:, None, :2], found[:, :2]), torch.minimum(found[:, None, 2:], found[:, 2:])
    both = (high - low).clamp(min=0).prod(2)
    areas = (found[:, 2:] - found[:, :2]).prod(1)
    return both / (areas[:, None] + areas - both)


def suppressions() -> Iterator[Row]:
    """The boxes that stay, of 2,000 and of 8,000 in five classes."""
    def work(library: Any, count: int) -> Callable:
        found, scores = library.tensor(boxes(count, 800, 200)), library.tensor(values(count))
        classes = library.tensor(np.arange(count) % 5)
        if library is clgrad:
            return lambda: ops.batched_nms(found, scores, classes, 0.7)

        def reference() -> Any:
            apart = found + (classes * (found.max() + 1))[:, None]
            order = scores.sort(descending=True, stable=True)[1]
            more = (_overlapping(library, apart[order]) > 0.7).numpy()
            dropped = np.zeros(count, bool)
            for place in range(count):
                if not dropped[place]:
                    dropped[place + 1:] |= more[place, place + 1:]
            return order[library.from_numpy(~dropped)]
        return reference
    for count in (2000, 8000):
        yield Row("regions", f"batched_nms of {count} boxes in 5 classes", lambda lib, n=count: work(lib, n))


def alignments() -> Iterator[Row]:
    """256 regions of one picture, 7x7 cells of 2x2 samples; with the gradient."""
    def work(library: Any, gradient: bool) -> Callable:
        picture = library.tensor(values(1, 128, 50, 68), requires_grad=gradient)
        found = library.tensor(boxes(256, 400, 300))
        if library is clgrad:
            regions = library.cat([library.zeros(256, 1), found], 1)

            def pooled() -> Any:
                return ops.roi_align(picture, regions, 7, 1 / 16, 2, aligned=True)
        else:
            def pooled() -> Any:
                steps = (library.arange(14) + 0.5) / 14
                corners, sides = found[:, :2] / 16 - 0.5, (found[:, 2:] - found[:, :2]) / 16
                x, y = (corners[:, axis, None] + sides[:, axis, None] * steps for axis in (0, 1))
                grid = library.stack([(x * 2 / 67 - 1)[:, None].expand(-1, 14, -1),
                                      (y * 2 / 49 - 1)[:, :, None].expand(-1, -1, 14)], 3)
                seen = library.nn.functional.grid_sample(picture, grid.reshape(1, 256 * 14, 14, 2), align_corners=True,
                                                         padding_mode="border")
                return seen.reshape(128, 256, 7, 2, 7, 2).mean((3, 5)).transpose(0, 1)
        if not gradient:
            return pooled
        seed = library.tensor(values(256, 128, 7, 7))
        return lambda: library.autograd.grad(pooled(), picture, seed)
    for gradient in (False, True):
        name = "roi_align, 256 of 128x50x68" + ", with the gradient" * gradient
        yield Row("regions", name, lambda lib, g=gradient: work(lib, g), tolerance=1e-3)


GROUPS = {"suppressions": suppressions, "alignments": alignments}
