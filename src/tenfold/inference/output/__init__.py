"""Whether a reply is the JSON its request asks for, and what can be done where it is not. Pure: no I/O, no clock."""
