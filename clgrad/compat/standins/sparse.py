"""``torch.sparse``: names that programs write in annotations and ask ``isinstance`` of; tensors are strided here."""

from __future__ import annotations

from clgrad.compat.standins import refusal

_REASON = "clgrad has no sparse tensors"
for _name in ("BFloat16Tensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor",
              "LongTensor", "ShortTensor"):
    globals()[_name] = refusal.kind(f"torch.sparse.{_name}", _REASON)
for _name in ("addmm", "log_softmax", "mm", "sampled_addmm", "softmax", "spdiags", "spsolve", "sum"):
    globals()[_name] = refusal.function(f"torch.sparse.{_name}", _REASON)
