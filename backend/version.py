"""The version of the project, as pyproject.toml has it."""

VERSION = "0.1.0"
