"""Serving: answering a caller's run from a snapshot or from the source, saying which and why, and recording it."""
