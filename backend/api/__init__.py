"""The endpoints, by subject. They hold no query and no message."""
