"""Inspection of data sets: problems of images and labels."""
