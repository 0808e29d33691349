"""Takes in records of others: imports of files and pushed rows, and readings of foreign databases."""
