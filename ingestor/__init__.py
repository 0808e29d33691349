"""The worker: hears the bell, claims slices, pulls the portal and writes PostgreSQL."""
