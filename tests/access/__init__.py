"""Tenants, keys, users and sessions."""
