"""Lines of batches that are handed over to a vendor's own batch tier: cheaper, and done within a day."""
