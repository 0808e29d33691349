"""What is read becomes rows: the statements of each resource, and the transaction of a page."""
