"""Putting the page where others can see it."""
