"""What the mirror holds, for readers: entities, their filters and orders, lists, counts, details, completeness."""
