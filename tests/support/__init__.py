"""Fakes and helpers the tests share."""
