"""Prices, cost and receipts: what each call used and what it is worth."""
