"""What is derived of the documents, made anew: words and vectors beside those that are searched."""
