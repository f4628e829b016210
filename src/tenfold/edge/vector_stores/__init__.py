"""The routes `/v1/vector_stores` as OpenAI documents them."""
