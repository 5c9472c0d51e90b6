"""``torch.return_types``: the classes of results with names."""

from clgrad.ops.output import NAMED_RESULTS

globals().update(NAMED_RESULTS)
