"""Connections to other systems: files that say what is delivered, whereto and how; read, checked, and immutable."""
