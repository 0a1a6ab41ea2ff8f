"""Keras models: a backbone with a head, several heads, or a decoder."""
