"""Parametrizations that are ready to use: weight and spectral normalisation, orthogonal matrices."""

from __future__ import annotations

from typing import Any

from clgrad.autograd import no_grad
from clgrad.creation import eye
from clgrad.info import finfo
from clgrad.nn import functional as F
from clgrad.nn.modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from clgrad.nn.modules.module import Module
from clgrad.nn.utils.parametrize import register_parametrization
from clgrad.nn.utils.spectral_norm import weight_matrix
from clgrad.ops.factorization import householder_product
from clgrad.ops.registry import FUNCTIONS
from clgrad.ops.solving import linalg_solve as solve
from clgrad.tensor import Tensor

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module: Module, name: str) -> Any:
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return FUNCTIONS["_weight_norm"](weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> tuple:
        return FUNCTIONS["norm_except_dim"](weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replaces a tensor by a length times a direction (Salimans and Kingma 2016).

    Length and direction are ``original0`` and ``original1`` of ``module.parametrizations.name``; states that were saved
    with :func:`clgrad.nn.utils.weight_norm`'s names can be loaded, too.

    Args:
        module: is changed, and returned.
        name: the tensor. Default: "weight".
        dim: along which lengths differ; None for one length. Default: 0.
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def rename(state: dict, prefix: str, *_: Any) -> None:
        old = [f"{prefix}{name}_{letter}" for letter in "gv"]
        if all(key in state for key in old):
            for number, key in enumerate(old):
                state[f"{prefix}parametrizations.{name}.original{number}"] = state.pop(key)

    module._register_load_state_dict_pre_hook(rename)
    return module


class _SpectralNorm(Module):
    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12):
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise IndexError(f"Dimension out of range (expected to be in range of [-{weight.ndim}, {weight.ndim - 1}] "
                             f"but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError("Expected n_power_iterations to be positive, but got "
                             f"n_power_iterations={n_power_iterations}")
        self.dim, self.eps = dim % weight.ndim, eps
        if weight.ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = weight_matrix(weight.detach(), self.dim)
            for key, size in zip(("_u", "_v"), matrix.shape, strict=True):
                self.register_buffer(key, F.normalize(matrix.new_empty(size).normal_(), dim=0, eps=eps))
            self._iterate(matrix, 15)

    def _iterate(self, matrix: Any, count: int) -> None:
        with no_grad():
            for _ in range(count):
                # Into the buffers as ``out``: functions of torch.func allow that, but no change in place.
                F.normalize(matrix.mv(self._v), dim=0, eps=self.eps, out=self._u)
                F.normalize(matrix.t().mv(self._u), dim=0, eps=self.eps, out=self._v)

    def forward(self, weight: Any) -> Any:
        if weight.ndim == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = weight_matrix(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        # Copies: the next forward pass changes the vectors, which this one's backward pass needs.
        return weight / self._u.clone().dot(matrix.mv(self._v.clone()))

    def right_inverse(self, value: Any) -> Any:
        return value


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None) -> Module:
    """Divides a tensor by its largest singular value, estimated by power iteration (Miyato et al. 2018).

    Args:
        module: is changed, and returned.
        name: the tensor; one of one dimension is divided by its length. Default: "weight".
        n_power_iterations: whenever the tensor is computed in training. Default: 1.
        eps: the smallest length that is divided by. Default: 1e-12.
        dim: of the outputs. Default: 1 for transposed convolutions, else 0.

    Raises:
        ValueError: there is no such tensor, or no iterations.
        IndexError: the tensor has no dimension ``dim``.
    """
    weight = _tensor_of(module, name)
    if dim is None:
        dim = int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))
    return register_parametrization(module, name, _SpectralNorm(weight, n_power_iterations, dim, eps))


def _diagonal(matrix: Any) -> Any:
    return matrix.diagonal(dim1=-2, dim2=-1)


def _reflected(reflectors: Any, tau: Any) -> Any:
    """The product of Householder reflections."""
    return householder_product(reflectors, tau)


def _orthogonalized(matrix: Any) -> Any:
    """Q of the decomposition QR of a tall matrix in which R's diagonal is not negative."""
    packed, tau = FUNCTIONS["geqrf"](matrix)
    return _reflected(packed, tau) * _diagonal(packed).sgn().unsqueeze(-2)


def _is_orthogonal(matrix: Any) -> bool:
    rows, columns = matrix.shape[-2:]
    difference = matrix.mH @ matrix - eye(columns, dtype=matrix.dtype, device=matrix.device)
    return bool((difference.abs() <= 10 * rows * finfo(matrix.dtype).eps).all())


class _Orthogonal(Module):
    """Matrices with orthonormal columns, or rows where these are fewer, from any matrices of the same shape."""

    def __init__(self, weight: Any, orthogonal_map: str, *, use_trivialization: bool = True):
        super().__init__()
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Any) -> Any:
        wide = x.shape[-2] < x.shape[-1]
        if wide:
            x = x.mT
        q = self._householder(x) if self.orthogonal_map == "householder" else self._from_skew(x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def _householder(self, x: Any) -> Any:
        below = x.tril(-1)
        tau = 2.0 / (1.0 + below.square().sum(dim=-2))
        # The diagonal holds signs only, to which no gradient goes.
        return _reflected(below, tau) * _diagonal(x).detach().trunc().unsqueeze(-2)

    def _from_skew(self, x: Any) -> Any:
        rows, columns = x.shape[-2:]
        x = x.tril()
        if rows != columns:
            x = FUNCTIONS["cat"]([x, x.new_zeros(*x.shape[:-1], rows - columns)], dim=-1)
        skew = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            q = FUNCTIONS["matrix_exp"](skew)
        else:
            unit = eye(rows, dtype=x.dtype, device=x.device)
            q = solve(unit - 0.5 * skew, unit + 0.5 * skew)
        return q[..., :columns]

    def right_inverse(self, q: Any) -> Any:
        if q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape "
                             f"{q.shape}.")
        with no_grad():
            wide = q.shape[-2] < q.shape[-1]
            tall = q.mT if wide else q
            if not hasattr(self, "base"):
                packed = self._packed(tall)
                return packed.mT if wide else packed
            self.base = self._completed(tall)
            start = FUNCTIONS["zeros_like"](q)  # householder, cayley and exp make base itself of it
            _diagonal(start).fill_(-1.0)
            return start

    def _packed(self, q: Any) -> Any:
        """The reflectors of a tall matrix, with signs on the diagonal that make R's diagonal positive."""
        if self.orthogonal_map != "householder":
            raise NotImplementedError("It is not possible to assign to the matrix exponential or the Cayley "
                                      "parametrizations when use_trivialization=False.")
        packed, tau = FUNCTIONS["geqrf"](q)
        signs = _diagonal(packed).sign()
        _diagonal(packed).copy_(FUNCTIONS["where"](tau == 0, -signs, signs))
        return packed

    def _completed(self, q: Any) -> Any:
        """An orthogonal square matrix that starts with the columns of a tall one."""
        rows, columns = q.shape[-2:]
        if rows == columns:
            return q.clone() if _is_orthogonal(q) else _orthogonalized(q)
        others = q.new_empty((*q.shape[:-1], rows - columns)).normal_()
        return _orthogonalized(FUNCTIONS["cat"]([q, others], dim=-1))


def orthogonal(module: Module, name: str = "weight", orthogonal_map: str | None = None, *,
               use_trivialization: bool = True) -> Module:
    """Keeps a matrix, or each of a batch, orthogonal: with orthonormal columns, or rows where these are fewer.

    Args:
        module: is changed, and returned.
        name: a tensor (..., m, n). Default: "weight".
        orthogonal_map: how a matrix without constraint becomes orthogonal: "matrix_exp" or "cayley", of a skew-symmetric
            matrix, or "householder", a product of reflections. Default: "matrix_exp" for square matrices, else
            "householder".
        use_trivialization: whether the result is multiplied with a constant matrix, the buffer ``base``, so that the
            search goes on around the value that was assigned last (Lezcano-Casado 2019). Without, only "householder"
            starts from the value that the tensor has, and takes assignments. Default: True.

    Raises:
        ValueError: there is no such tensor, it has less than 2 dimensions, or another name of a map; "householder" of a
            complex tensor.
    """
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ValueError(f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError('orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
                         f"Got: {orthogonal_map}")
    if orthogonal_map == "householder" and weight.is_complex():
        raise ValueError("The householder parametrization does not support complex tensors.")
    return register_parametrization(
        module, name, _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization), unsafe=True)
