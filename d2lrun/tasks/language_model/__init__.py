"""Texts: which token comes next?"""
