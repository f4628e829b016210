"""Budgets that cannot be overshot: leases of money, taken before it is spent, settled from the receipts."""
