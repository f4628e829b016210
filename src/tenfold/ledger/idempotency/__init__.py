"""`Idempotency-Key`: one call, one charge and one stored result, however often it is asked."""
