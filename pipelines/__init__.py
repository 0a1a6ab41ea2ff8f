"""Data flow, and the jobs a user runs: one room a verb; `transfer_zoo` is the public face."""
