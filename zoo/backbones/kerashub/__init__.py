"""Backbones from KerasHub: presets of image networks, by folder or by handle."""
