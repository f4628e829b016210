"""Files to text: what a person uploads, as the Markdown that the chunker cuts."""
