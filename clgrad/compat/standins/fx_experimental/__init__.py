"""``torch.fx.experimental``: questions about tracing, which is never going on."""
