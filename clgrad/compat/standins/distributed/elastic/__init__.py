"""``torch.distributed.elastic``: programs that are started several times."""
