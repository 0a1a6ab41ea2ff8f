"""Scan the files of a listing once, and keep what was found in a ledger."""
