"""Labelled images: which class is it?"""
