"""Calls that wait for better times, and their tickets."""
