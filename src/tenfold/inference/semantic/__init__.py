"""Stage 4 for questions in other words: what a question is, what it may be compared with, and what is kept of it."""
