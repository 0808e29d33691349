"""Files of what readers ask for: copied out of the database in one snapshot, then converted in a process of its own."""
