"""The worker: consumes messages, claims slices, reads the portal and writes PostgreSQL."""
