"""Regression: predict a number from the features of a row."""
