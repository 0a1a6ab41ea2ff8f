"""Embedded data set `textures`: ten classes of procedurally drawn images."""
