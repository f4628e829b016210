"""The routes `/v1/batches` as OpenAI documents them."""
