"""Price research over the results of items."""
