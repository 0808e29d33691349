"""Saved searches: what they match, whose they are, and their messages."""
