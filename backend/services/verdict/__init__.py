"""The verdict: whether the mirror is fresh, complete and healthy, what is wrong, and what to do about it."""
