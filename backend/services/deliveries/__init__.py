"""Deliveries for administrators: destinations, jobs, rejected records, previews, and the trace of a record."""
