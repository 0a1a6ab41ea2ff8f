"""Data sets: readers of every kind of DATA, validation and splits.

To add a kind, write a reader that returns a `Listing`, and add a row to SOURCES in
`catalog.py`. Scan, validation and splits are the same for all kinds.
"""
