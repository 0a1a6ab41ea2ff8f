"""Ways to train a backbone before its task is known, and the file they end in.

To add a way: write its job beside `supervised.py` and add a row to METHODS in
`methods.py`.
"""
