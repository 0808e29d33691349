"""Codes with typed values become sentences in one language; and which language a request wants.

A value in a sentence stands in braces, with its type behind a colon:

- `{name}`: as it is; a `Text` is translated first, and the members of a list are joined
- `{name:capital}`: the same with a capital, as a sentence begins
- `{count:# dia|# dias}`: the first form for one, the second for any other number, which stands at `#`
- `{count:number}`, `{seconds:duration}`, `{day:day}`, `{resource:resource}`, `{resource:label}`
- `{at:time}`: a moment near the present, without its day where that is today; `{at:moment}`, `{at:clock}`: in full, and
  its time alone

Days and moments may be written in ISO 8601, as they stand in JSON.
"""

import string
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, get_args

from backend.language.catalogue import SENTENCES
from common.clock import to_wall_clock
from common.resources import LABELS

Language = Literal["pt-BR", "en"]

LANGUAGES: tuple[Language, ...] = get_args(Language)
DEFAULT_LANGUAGE: Language = "pt-BR"
MINUTE, HOUR, DAY = 60, 3600, 86400

language_of_request: ContextVar[Language] = ContextVar("language_of_request", default=DEFAULT_LANGUAGE)
"""The language of the request that is being answered; outside of requests the default."""


@dataclass(frozen=True)
class Text:
    """A sentence before it is in a language."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Translator(string.Formatter):
    """Writes sentences in one language, as of one moment."""

    def __init__(self, language: Language = DEFAULT_LANGUAGE, now: datetime | None = None) -> None:
        """`now` is aware: what is told of today needs no date."""
        self.language = language
        self._now = now or datetime.now(UTC)

    def say(self, text: Text) -> str:
        """The sentence of a code.

        Raises:
            KeyError: there is no such code, or a value is missing.

        """
        return self.vformat(SENTENCES[text.code][LANGUAGES.index(self.language)], (), text.values)

    def format_field(self, value: Any, format_spec: str) -> str:
        """A value in the form that its type in the sentence asks for."""
        if isinstance(value, list):
            value = "; ".join(self.format_field(one, "") for one in value)
        elif isinstance(value, Text):
            value = self.say(value)
        if "|" in format_spec:
            one, many = format_spec.split("|")
            return (one if value == 1 else many).replace("#", self._number(value))
        forms: Mapping[str, Callable[[Any], str]] = {
            "": str,
            "capital": lambda said: f"{said[:1].upper()}{said[1:]}",
            "small": lambda said: said if said[1:2].isupper() else f"{said[:1].lower()}{said[1:]}",
            "number": self._number,
            "duration": self._duration,
            "day": self._day,
            "time": self._time,
            "moment": self._moment,
            "clock": lambda moment: f"{_local(moment):%H:%M:%S}",
            "label": lambda name: LABELS.get(name, name),
            "resource": lambda name: (label := LABELS.get(name, name))[:1].lower() + label[1:],
        }
        return forms[format_spec](value)

    def _number(self, value: float) -> str:
        said = f"{value:,}"
        return said if self.language == "en" else said.translate({ord(","): ".", ord("."): ","})

    def _day(self, day: date | str) -> str:
        day = date.fromisoformat(day[:10]) if isinstance(day, str) else day
        return day.isoformat() if self.language == "en" else f"{day:%d/%m/%Y}"

    def _time(self, moment: datetime | str) -> str:
        local, today = _local(moment), to_wall_clock(self._now).date()
        if local.date() == today:
            return f"{local:%H:%M}"
        return f"{self._day(local.date())}, {local:%H:%M}"

    def _moment(self, moment: datetime | str) -> str:
        local = _local(moment)
        return f"{self._day(local.date())} {local:%H:%M}"

    def _duration(self, seconds: float) -> str:
        days = (" dia", " dias") if self.language == "pt-BR" else (" day", " days")
        if seconds < MINUTE:
            return f"{max(round(seconds), 0)} s"
        if seconds < 1.5 * HOUR:
            return f"{round(seconds / MINUTE)} min"
        if seconds < 1.5 * DAY:
            return f"{round(seconds / HOUR)} h"
        whole = round(seconds / DAY)
        return f"{self._number(whole)}{days[whole != 1]}"


def _local(moment: datetime | str) -> datetime:
    """Brasília's wall clock at an aware moment, which may be written in ISO 8601."""
    return to_wall_clock(datetime.fromisoformat(moment) if isinstance(moment, str) else moment)


def say(code: str, /, language: Language | None = None, **values: Any) -> str:
    """A sentence in this language, or in that of the request."""
    return Translator(language or language_of_request.get()).say(Text(code, values))


def negotiate(accept_language: str | None) -> Language:
    """The language that a header `Accept-Language` prefers; Portuguese where it names neither (RFC 9110, 12.5.4).

    Of what is wanted alike the first counts. What cannot be read is passed over.
    """
    best, most = DEFAULT_LANGUAGE, 0.0
    named = [_read_range(part) for part in (accept_language or "").split(",")]
    ranges = [one for one in named if one is not None]
    refused = {tag for tag, weight in ranges if weight == 0}
    for tag, weight in ranges:
        language = _language_of(tag, refused)
        if language is not None and weight > most:
            best, most = language, weight
    return best


def _read_range(part: str) -> tuple[str, float] | None:
    tag, *parameters = (one.strip().lower() for one in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                weight = float(value)
            except ValueError:
                return None
    return (tag, weight) if tag and 0 <= weight <= 1 else None


def _language_of(tag: str, refused: set[str]) -> Language | None:
    """`pt`, `pt-PT` and the like mean our Portuguese; `*` any language that is not refused."""
    if tag == "*":
        return next((one for one in LANGUAGES if one[:2] not in refused), None)
    return next((one for one in LANGUAGES if one[:2] == tag.split("-", maxsplit=1)[0]), None)
