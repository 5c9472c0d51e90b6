"""Sparse tensors to try operators on: the same in clgrad and in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

_rng = np.random.default_rng(5)
_ORDERED = [[0, 0, 1, 3], [1, 4, 0, 2]]
_MIXED = [[3, 0, 0, 1, 0, 3], [2, 4, 1, 0, 4, 2]]  # two places twice

# Indices, values and shape of tensors of coordinates.
COORDINATES: dict[str, tuple[Any, np.ndarray, tuple[int, ...]]] = {
    "coalesced": (_ORDERED, _rng.uniform(0.1, 0.9, 4), (4, 5)),
    "duplicates": (_MIXED, _rng.uniform(-0.2, 0.4, 6), (4, 5)),
    "hybrid": (_ORDERED, _rng.uniform(0.1, 0.9, (4, 3)), (4, 5, 3)),
    "hybrid duplicates": (_MIXED, _rng.uniform(0.1, 0.4, (6, 3)), (4, 5, 3)),
    "empty": (np.zeros((2, 0), np.int64), np.zeros(0), (4, 5)),
    "vector": ([[4, 1, 4]], _rng.uniform(0.1, 0.4, 3), (6,)),
    "three dimensions": ([[0, 1, 1], [3, 0, 2], [1, 1, 0]], _rng.uniform(0.1, 0.9, 3), (2, 4, 3)),
    "one value": ([[2], [3]], np.array([0.5]), (4, 5)),
}
MATRICES = ("coalesced", "duplicates", "empty", "one value")
LAYOUTS = ("sparse_csr", "sparse_csc")


def coordinates(library: Any, name: str, dtype: str = "float64", coalesce: bool = False) -> Any:
    """A sample as a tensor of coordinates of either library."""
    indices, values, shape = COORDINATES[name]
    kind = getattr(library, dtype)
    given = values > 0.3 if dtype == "bool" else values * 10 if "int" in dtype else values
    places = library.tensor(np.asarray(indices).tolist(), dtype=library.int64).reshape(len(indices), -1)
    made = library.sparse_coo_tensor(places, library.tensor(given, dtype=kind), shape, check_invariants=True)
    return made.coalesce() if coalesce or name in ("coalesced", "hybrid", "three dimensions") else made


def second(library: Any, shape: tuple[int, ...], like: Any) -> Any:
    """Another tensor of coordinates with the sizes of a sample, of which it shares some places."""
    numbers = np.random.default_rng(len(shape)).uniform(0.2, 0.8, shape)
    numbers[np.random.default_rng(1).uniform(size=shape[:like.sparse_dim()]) < 0.6] = 0
    return library.tensor(numbers, dtype=library.float64).to_sparse(like.sparse_dim()).to(like.dtype)


def dense(library: Any, *shape: int, seed: int = 0, dtype: str = "float64") -> Any:
    """A dense tensor of either library."""
    return library.tensor(np.random.default_rng(seed).uniform(0.2, 1.2, shape), dtype=getattr(library, dtype))


def plain(found: Any) -> Any:
    """What is compared of a result: layout, dtype, shape, numbers."""
    if isinstance(found, (tuple, list)):
        return [plain(part) for part in found]
    if not hasattr(found, "layout"):
        return found
    layout = str(found.layout)
    whole = found.detach().to_dense() if layout != "torch.strided" else found.detach()
    return layout, str(found.dtype), tuple(found.shape), np.round(np.array(whole.tolist(), np.float64), 9).tolist()
