"""Data sets: every kind of DATA, read, checked and split into one form, `Source`.

To add a kind: write its reader, which returns a `Listing`, and add a row to SOURCES in
`catalogue.py`. Decoding, checks and splits are common to all.
"""
