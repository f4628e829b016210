"""The vendors' own batch tiers behind one seam: cheaper, and ready within a day."""
