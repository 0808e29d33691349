"""What comes in by the API: pushed records, files, corrections; and what has become of imports."""
