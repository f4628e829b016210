"""Tenfold: the backbone of an AI-powered SaaS in one service on one SQL database."""

__version__ = "0.1.0"
