"""Parts of ``torch.distributed`` for several processes: names to import and to compare classes with."""

REASON = "clgrad trains in one process"
