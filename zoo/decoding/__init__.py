"""Decoding in the graph: the bytes of an image file become the RGB pixels that a viewer shows."""
