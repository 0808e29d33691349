"""Templates: a text with `{column|transform:argument}`; `{{` and `}}` are braces."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.mapping import values
from common.mapping.problem import At, Problem, unknown
from common.mapping.rendering import CannotRender
from common.resources.description import Kind

Get = Callable[[Any], Any]
Find = Callable[[str, At], tuple[Get, Kind | None]]
"""By the name of a column or a path: what reads it from a row, and its kind; null for what is only known when read."""

_PART = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+")
_WITH_ARGUMENT = ("max", "date", "decimal", "default")
TRANSFORMS = (*_WITH_ARGUMENT, "trim", "upper", "digits", "brl")
DATES = (Kind.DAY, Kind.MOMENT, Kind.STAMP)
NUMBERS = (Kind.INTEGER, Kind.LONG, Kind.CODE, Kind.NUMBER)
TEXTS = (Kind.TEXT, Kind.SHORT_TEXT)
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class Slot:
    """A place of a template: what it reads, and what is done with the value."""

    name: str
    get: Get
    steps: tuple[values.Step, ...]
    default: str

    def text(self, row: Any, longest: int = _NO_LIMIT) -> str:
        """Its text; empty where there is no value."""
        value = self.get(row)
        try:
            for step in self.steps:
                if value is None:
                    break
                value = step(value)
            text = self.default if value is None else values.for_people(value)
        except CannotRender as error:
            raise CannotRender(f"{self.name}: {error}") from None
        return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


@dataclass(frozen=True)
class Template:
    """A parsed template: texts, and slots between them."""

    parts: tuple[str | Slot, ...]

    def write(self, row: Any, escape: Callable[[str], str] = str, longest: int = _NO_LIMIT) -> str:
        """The text of a row; `escape` is for its values alone, of each of which at most `longest` characters stand."""
        return "".join(part if isinstance(part, str) else escape(part.text(row, longest)) for part in self.parts)


def parse(text: str, find: Find, at: At) -> Template:
    """Parse a template.

    Raises:
        Problem: a brace without its other, an unknown column or transform, or one that does not fit the column.

    """
    parts: list[str | Slot] = []
    for part in _PART.findall(text):
        if part in ("{{", "}}"):
            parts.append(part[0])
        elif part in ("{", "}"):
            raise Problem(at, f"`{part}` sem par; escreva {part}{part} para uma chave no texto")
        elif part.startswith("{"):
            parts.append(_slot(part[1:-1], find, at))
        else:
            parts.append(part)
    return Template(tuple(parts))


def _slot(written: str, find: Find, at: At) -> Slot:
    name, *pipes = (each.strip(" ") for each in written.split("|"))
    get, kind = find(name, at)
    steps: list[values.Step] = []
    default = ""
    for pipe in pipes:
        transform, colon, argument = pipe.partition(":")
        if transform not in TRANSFORMS:
            raise Problem(at, unknown("transformação desconhecida", transform, TRANSFORMS))
        if bool(colon) is not (transform in _WITH_ARGUMENT):
            raise Problem(at, f"`{transform}` {'precisa de' if not colon else 'não tem'} argumento")
        if transform == "default":
            default = argument
            continue
        check_kind(transform, kind, name, at)
        steps.append(_step(transform, argument, kind, at))
    return Slot(name, get, tuple(steps), default)


def check_kind(transform: str, kind: Kind | None, name: str, at: At) -> None:
    """Raise a problem where a transform cannot take a column's values."""
    taken: tuple[Kind, ...] = TEXTS
    match transform:
        case "date":
            taken = (*DATES, *TEXTS)
        case "decimal" | "brl":
            taken = (*NUMBERS, *TEXTS)
        case "map":
            taken = (*TEXTS, *NUMBERS, Kind.BOOLEAN)
    if kind is not None and kind is not Kind.JSON and kind not in taken:
        raise Problem(at, f"`{transform}` não serve para `{name}`, que é {KIND_NAMES[kind]}")


def _step(transform: str, argument: str, kind: Kind | None, at: At) -> values.Step:
    match transform:
        case "date":
            said = values.check_format(argument, has_hours=kind is not Kind.DAY)
            if said:
                raise Problem(at, said)
            return values.format_date(argument)
        case "max" | "decimal":
            if not (argument.isascii() and argument.isdigit() and len(argument) <= len("9999")):
                raise Problem(at, f"`{transform}:{argument}`: o argumento é um número inteiro")
            number = int(argument)
            if transform == "max" and number < 1:
                raise Problem(at, "`max` é no mínimo 1")
            if transform == "decimal" and number > MAX_PLACES:
                raise Problem(at, f"`decimal` é no máximo {MAX_PLACES}")
            return values.shortened(number) if transform == "max" else values.decimal(number)
        case "trim":
            return values.trim
        case "upper":
            return values.upper
        case "digits":
            return values.digits
    return values.brl


MAX_PLACES = 10
KIND_NAMES = {
    Kind.TEXT: "texto",
    Kind.SHORT_TEXT: "texto",
    Kind.INTEGER: "número inteiro",
    Kind.LONG: "número inteiro",
    Kind.CODE: "código numérico",
    Kind.NUMBER: "número",
    Kind.BOOLEAN: "verdadeiro ou falso",
    Kind.DAY: "dia",
    Kind.MOMENT: "data e hora",
    Kind.STAMP: "data e hora",
    Kind.JSON: "JSON",
}
