"""Text classification: one class for each text (many to one)."""
