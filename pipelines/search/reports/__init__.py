"""Search reports: pictures of a finished search, and its trials in TensorBoard.

parallel_coordinates.png draws each trial as a line through its settings, settings.png the
score against each setting; logs/search holds a session a trial for TensorBoard's HParams
page.
"""
