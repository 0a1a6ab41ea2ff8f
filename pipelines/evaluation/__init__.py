"""Evaluation: predictions of a model on labeled images, and their metrics."""
