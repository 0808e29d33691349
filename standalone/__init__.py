"""`./pncp` on one machine: an embedded PostgreSQL, the services as child processes, and their orderly end."""
