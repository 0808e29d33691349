"""One translator for what people read of the server: codes with values become sentences in Portuguese or English."""
