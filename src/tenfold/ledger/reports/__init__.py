"""What the receipts add up to: hours, features, outcomes, drift, exports, and corrections of what was estimated."""
