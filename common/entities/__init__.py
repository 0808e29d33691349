"""Entities: what readers list and destinations receive, as SQL that is derived from descriptions and declarations."""
