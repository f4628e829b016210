"""Answers kept for calls that are the same."""
