"""Recipes: every setting of a run, its presets and overrides, and what must fit together."""
