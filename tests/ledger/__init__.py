"""Prices, usage and receipts."""
