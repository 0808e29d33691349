"""CPFs are masked: of the number of a natural person the six digits in the middle are shown, as in `***.456.789-**`."""

import re
from collections.abc import Mapping
from typing import Any

NATURAL_PERSON = "PF"

_DIGITS = r"([0-9]{3})\.?([0-9]{3})\.?([0-9]{3})-?([0-9]{2})"
_NUMBER = re.compile(rf"\s*{_DIGITS}\s*")
_ANYWHERE = re.compile(rf"(?<![0-9]){_DIGITS}(?![0-9])")
_IN_TEXT = re.compile(rf"(?<![0-9])(?<![0-9]\.){_DIGITS}(?![0-9])")  # no part of a longer number or of a fraction

Personal = Mapping[str, tuple[str, ...]]
"""The fields with personal data, and the names of those beside them that say which kind of person it is, the first
that is there."""


def mask_ni(kind: object, ni: str) -> str:
    """The number of a party, masked where it is a CPF.

    That is any eleven digits of a natural person (`PF`) or of an unknown kind. Of others it is what the check digits
    say: the portal's kinds are not reliable.
    """
    found = _NUMBER.fullmatch(ni)
    if found is None:
        return ni
    return _masked(found) if not kind or kind == NATURAL_PERSON or _is_cpf(found) else ni


def mask_text(text: str) -> str:
    """A text without the CPFs in it: eleven digits with the right check digits, bare or with their punctuation."""
    return _IN_TEXT.sub(lambda found: _masked(found) if _is_cpf(found) else found[0], text)


def mask_texts(value: Any) -> Any:
    """A value of JSON in which CPFs are masked, as deep as it is."""
    if isinstance(value, dict):
        return {name: mask_texts(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [mask_texts(inner) for inner in value]
    return mask_text(value) if isinstance(value, str) else value


def mask_numbers(text: str) -> str:
    """A text in which all that looks like a CPF is masked, whatever its check digits say."""
    return _IN_TEXT.sub(_masked, text)


def mask_fields(value: Any, personal: Personal) -> Any:  # JSON, or the values of a row
    """A record or a row, however deep, with the CPFs in its personal fields masked; the rest is as it was."""
    if isinstance(value, Mapping):
        return {
            name: mask_field(inner, _kind_beside(value, personal[name]))
            if name in personal and not isinstance(inner, Mapping | list)
            else mask_fields(inner, personal)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [mask_fields(inner, personal) for inner in value]
    return value


def _kind_beside(record: Mapping[str, Any], names: tuple[str, ...]) -> object:
    return next((record[name] for name in names if name in record), None)


def mask_field(value: object, kind: object) -> object:
    """The value of a personal field, masked; `kind`: that of the person it is about, null where nothing says it."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return value
    text = f"{value:011}" if isinstance(value, int) else value  # a number has lost its leading zeros
    if _ANYWHERE.search(text) is None:  # so of most values
        return value
    masked = mask_text(mask_ni(kind, text))
    return value if masked == text else masked


def _masked(found: re.Match[str]) -> str:
    return f"***.{found[2]}.{found[3]}-**"


def _is_cpf(found: re.Match[str]) -> bool:
    digits = [int(digit) for part in found.groups() for digit in part]
    return all(
        sum(digit * (place + 1 - at) for at, digit in enumerate(digits[:place])) * 10 % 11 % 10 == digits[place]
        for place in (9, 10)
    )
