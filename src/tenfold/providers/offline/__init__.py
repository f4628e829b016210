"""The upstream that runs on this machine and needs no key: extractive answers and a small embedding model."""
