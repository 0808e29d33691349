"""What the backend and the ingestor must agree on, and nothing that only one of them uses."""
