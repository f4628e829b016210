"""A stand-in for three model vendors on loopback: it answers by rules, checks what it is sent as the vendors do,
records every request, and breaks on command. It shares no code with Tenfold.
"""
