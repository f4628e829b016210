"""The support assistant and the form of a grounded question."""
