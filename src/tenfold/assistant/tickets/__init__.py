"""Support tickets: a question that is answered later, by the assistant or by a person, and all that was said of it."""
