"""Embedded data set `signs`: photographs of hand signs, their reader and their conversion."""
