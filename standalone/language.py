"""The language of the terminal: Portuguese, or English where LANGUAGE, LC_ALL, LC_MESSAGES or LANG names it.

Texts stand in the code in English; `standalone/portuguese.py` has each of them in Portuguese. It imports the standard
library alone, since the command line is read before anything is installed.
"""

import os
from collections.abc import Mapping
from typing import Any

PORTUGUESE, ENGLISH = "pt-BR", "en"
_VARIABLES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


def language(environment: Mapping[str, str] = os.environ) -> str:
    """The first variable that is set decides, as for gettext; what names no language (C, POSIX) means Portuguese."""
    named = next((environment[name] for name in _VARIABLES if environment.get(name)), "")
    return ENGLISH if named.lower().startswith("en") else PORTUGUESE


def tr(text: str, /, **values: object) -> str:
    """A text in the person's language, with its values in place."""
    if language() == PORTUGUESE:
        from standalone.portuguese import TEXTS  # noqa: PLC0415  # only where it is needed

        text = TEXTS.get(text, text)
    return text.format(**values) if values else text


def reason_of(failed: Mapping[str, Any]) -> str:
    """Why an execution or a slice failed, by its cause; without one, in the words of the program."""
    from backend.language.causes import SENTENCES  # noqa: PLC0415  # only where it is needed

    sentences = SENTENCES.get(f"cause.{failed.get('cause')}")
    return failed.get("error_message") or "" if sentences is None else sentences[language() == ENGLISH]


def number(value: float, digits: int = 0) -> str:
    """A number as people of the language write it."""
    text = f"{value:,.{digits}f}"
    return text if language() == ENGLISH else text.translate({ord(","): ".", ord("."): ","})
