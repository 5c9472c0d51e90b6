"""What programs that define distributions of their own import from here."""

from clgrad.distributions.distribution import broadcast_all, logits_to_probs, probs_to_logits

__all__ = ["broadcast_all", "logits_to_probs", "probs_to_logits"]
