"""The routes `/v1/files` as OpenAI documents them."""
