"""A softmax over many classes, of which the frequent ones are cheap (Grave et al. 2017)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from clgrad.creation import tensor
from clgrad.nn import functional as F
from clgrad.nn.modules.container import ModuleList, Sequential
from clgrad.nn.modules.linear import Linear
from clgrad.nn.modules.module import Module
from clgrad.ops.registry import FUNCTIONS


class ASMoutput(NamedTuple):
    """What :class:`AdaptiveLogSoftmaxWithLoss` returns: the targets' log-probabilities, and their negative mean."""

    output: Any
    loss: Any


class AdaptiveLogSoftmaxWithLoss(Module):
    """The log-probabilities of classes sorted by frequency, the rare ones in clusters with smaller layers.

    Args:
        in_features: the size of the input's rows.
        n_classes: how many classes there are, the most frequent first.
        cutoffs: where the clusters begin, in ascending order.
        div_value: by what the clusters' layers get smaller, from one to the next. Default: 4.
        head_bias: whether the first layer has a bias. Default: False.
    """

    def __init__(self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
                 head_bias: bool = False, device: Any = None, dtype: Any = None):
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        if (cutoffs != sorted(set(cutoffs)) or cutoffs[0] <= 0 or cutoffs[-1] > n_classes - 1
                or any(int(c) != c for c in cutoffs)):
            raise ValueError("cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where "
                             "each value is between 1 and n_classes-1")
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cutoffs[0], len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for number, (low, high) in enumerate(itertools.pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (number + 1))
            self.tail.append(Sequential(Linear(in_features, hidden, bias=False, device=device, dtype=dtype),
                                        Linear(hidden, high - low, bias=False, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        for layer in (self.head, *(layer for cluster in self.tail for layer in cluster)):
            layer.reset_parameters()

    def forward(self, input_: Any, target_: Any) -> ASMoutput:
        """(output, loss) of rows (n, in_features) and classes (n), or of one row and one class."""
        input, target = input_, target_
        if target.ndim > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if input.ndim != target.ndim + 1:
            raise RuntimeError(f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs "
                               f"with size {input.shape}")
        if target.ndim and input.shape[0] != target.shape[0]:
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        rows = input if target.ndim else input.unsqueeze(0)
        classes = np.array(target.tolist(), np.int64).reshape(-1)
        if classes.size and not 0 <= classes.min() <= classes.max() < self.n_classes:
            raise RuntimeError(f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                               f"[{classes.min()}, {classes.max()}] were found. ")
        output = self._log_probs(rows, classes)
        return ASMoutput(output if target.ndim else output.squeeze(0), -output.mean())

    def _log_probs(self, rows: Any, classes: np.ndarray) -> Any:
        """The log-probability of each row's class."""
        cluster = np.searchsorted(self.cutoffs, classes, side="right")
        entries = np.where(cluster == 0, classes, self.shortlist_size + cluster - 1)
        head = F.log_softmax(self.head(rows), 1).gather(1, tensor(entries, device=rows.device).unsqueeze(1)).squeeze(1)
        order, parts = [], []
        for number in range(self.n_clusters + 1):
            own = np.flatnonzero(cluster == number)
            if not own.size:
                continue
            order.append(own)
            if number == 0:
                parts.append(rows.new_zeros(own.size))
                continue
            scores = F.log_softmax(self.tail[number - 1](rows.index_select(0, tensor(own, device=rows.device))), 1)
            places = tensor(classes[own] - self.cutoffs[number - 1], device=rows.device)
            parts.append(scores.gather(1, places.unsqueeze(1)).squeeze(1))
        if not parts:
            return head
        back = tensor(np.argsort(np.concatenate(order), kind="stable"), device=rows.device)
        return head + FUNCTIONS["cat"](parts).index_select(0, back)

    def log_prob(self, input: Any) -> Any:
        """The log-probabilities of all classes: (n, in_features) to (n, n_classes)."""
        head = F.log_softmax(self.head(input), 1)
        parts = [head[:, :self.shortlist_size]]
        for number in range(self.n_clusters):
            place = self.shortlist_size + number
            parts.append(F.log_softmax(self.tail[number](input), 1) + head[:, place:place + 1])
        return FUNCTIONS["cat"](parts, 1)

    def predict(self, input: Any) -> Any:
        """The most probable class of each row (n, in_features)."""
        return self.log_prob(input).argmax(1)
