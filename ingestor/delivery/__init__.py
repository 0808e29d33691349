"""Deliveries: what is owed to a destination is asked of the tables, frozen, sent, and settled by verdicts."""
