"""Inference engines for frozen backbones, behind one interface."""
