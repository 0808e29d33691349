"""What the endpoints do: use cases, queries, the publisher."""
