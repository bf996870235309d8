"""Forecasting: predict the next value of a series from a window of the values before it (book 8.1)."""
