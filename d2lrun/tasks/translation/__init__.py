"""Pairs of sentences: write the second, token by token, from the first (book 9.5 to 9.8)."""
