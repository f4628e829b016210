"""Ids, money, clock, errors, request and reply types: what every layer may name. No I/O."""
