"""``torch.utils.deterministic``: what else deterministic programs may ask for."""

# Kept: the memory of ``empty`` is what it happens to be, whatever ``use_deterministic_algorithms`` was told.
fill_uninitialized_memory = True
