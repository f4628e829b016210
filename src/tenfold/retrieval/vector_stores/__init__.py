"""Vector stores as OpenAI's API knows them: a knowledge base, the files that were read into it, and searches in it."""
