"""Examine the bytes of one image: format, size, damage; convert what needs it."""
