"""The verified semantic cache: answers to questions that mean the same, within a bound on how often they do not."""
