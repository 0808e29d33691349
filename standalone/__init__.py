"""What `./pncp` runs on one machine: an embedded PostgreSQL, the services as children, and a clean end of all of it."""
