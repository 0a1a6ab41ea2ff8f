"""Inspection of data sets: what is wrong with images and labels."""
