"""Where records come from: a package for each source, and `values`, what each of them gives."""
