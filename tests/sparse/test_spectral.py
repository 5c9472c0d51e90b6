"""Singular values and eigenvalues of sparse matrices, against NumPy of the dense ones."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad


@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr"])
@pytest.mark.parametrize("shape", [(30, 12), (12, 30)])
def test_singular_values_of_sparse_matrices(layout, shape):
    """The largest ones, by NumPy of the dense matrix; they fall off steeply, so that few products find them."""
    rng = np.random.default_rng(3)
    array = (rng.normal(size=shape) * (rng.random(shape) > 0.6)) * np.logspace(3, -3, shape[1])
    sparse = clgrad.tensor(array).to_sparse(layout=getattr(clgrad, layout))
    for found, wanted in ((clgrad.svd_lowrank(sparse, 4, niter=20), array),
                          (clgrad.svd_lowrank(sparse, 4, 20, M=clgrad.ones(shape, dtype=clgrad.float64)), array - 1),
                          (clgrad.pca_lowrank(sparse, 4, center=False, niter=20), array),
                          (clgrad.pca_lowrank(sparse, 4, niter=20), array - array.mean(0))):
        U, S, V = found
        expected = np.linalg.svd(wanted, compute_uv=False)[:4]
        np.testing.assert_allclose(S.numpy(), expected, 1e-6)
        np.testing.assert_allclose((U * S).numpy(), wanted @ V.numpy(), atol=1e-6 * expected[0])


def test_eigenvalues_of_sparse_matrices():
    rng = np.random.default_rng(4)
    array = rng.normal(size=(12, 12)) * (rng.random((12, 12)) > 0.5)
    array = array + array.T
    for layout in (clgrad.sparse_coo, clgrad.sparse_csr):
        values, vectors = clgrad.lobpcg(clgrad.tensor(array).to_sparse(layout=layout), 2)
        np.testing.assert_allclose(values.numpy(), np.linalg.eigvalsh(array)[::-1][:2], 1e-8)
        np.testing.assert_allclose(array @ vectors.numpy(), vectors.numpy() * values.numpy(), atol=1e-8)
