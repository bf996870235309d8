"""Tagging: each word of a sentence has a tag, such as its part of speech, or the mark that follows it."""
