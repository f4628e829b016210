"""The dialect of OpenAI clients: chat completions and embeddings."""
