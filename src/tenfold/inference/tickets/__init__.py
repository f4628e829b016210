"""Calls that are answered later: accepted, or parked because nobody could answer them, and known by a ticket."""
