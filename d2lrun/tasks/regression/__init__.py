"""Rows of numbers: what is the value of another one?"""
