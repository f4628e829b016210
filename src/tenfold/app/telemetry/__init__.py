"""What is told of each call: metrics, log lines, spans. Off the call's own path, in small batches."""
