"""Tests of zoo/decoding."""
