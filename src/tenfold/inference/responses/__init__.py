"""Responses that are kept: stored, continued, made in the background, followed, cancelled, deleted."""
