"""Weights that the package ships, each with its card, and the conversion of published ones."""
