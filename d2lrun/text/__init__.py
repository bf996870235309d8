"""Text as numbers: tokens, vocabularies, and sequences of different lengths. What the tasks on text share."""
