"""Work that waits: calls that nobody could answer, kept under a ticket until they can be asked again."""
