"""How each kind of client speaks: request bodies to canonical types, canonical replies to the client's bytes."""
