"""Batches: many calls from a file, each of which goes the one path, with results in files."""
