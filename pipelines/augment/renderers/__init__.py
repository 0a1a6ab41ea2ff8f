"""Renderers: one resampling pass from a decoded image to its augmented view."""
