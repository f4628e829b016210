"""The models that run on this machine."""
