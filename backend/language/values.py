"""A value at fault, as our own checks of requests raise it."""

from typing import Any

from backend.language.translator import DEFAULT_LANGUAGE, Text, Translator


class InvalidValueError(ValueError):
    """A value of a request does not serve: the code of its sentence, and the fields that are to be changed."""

    def __init__(self, code: str, *fields: str, **values: Any) -> None:
        """Without `fields`, the field at which it is raised is meant."""
        self.code = code
        self.fields = fields
        self.values = values
        super().__init__(Translator(DEFAULT_LANGUAGE).say(Text(f"fault.{code}", values)))
