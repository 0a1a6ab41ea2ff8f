"""Training of many heads side by side, by batched matrix products."""
