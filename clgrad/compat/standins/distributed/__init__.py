"""Parts of ``torch.distributed`` for several processes: names to import and to compare classes with."""

REASON = "every process of clgrad holds whole tensors"
