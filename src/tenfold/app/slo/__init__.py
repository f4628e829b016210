"""Objectives of pathways: what is measured of each, how fast its error budget burns, and who is told."""
