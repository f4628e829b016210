"""The one path every call takes, one stage a module."""
