"""Heads of one shape, trained side by side in batched matrix products."""
