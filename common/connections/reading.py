"""Reads YAML into plain values and remembers the line of each; what YAML would guess wrongly is refused.

YAML 1.1 takes a CNPJ of the digits 0 to 7 for an octal number, `1.10` for 1.1, `13:05` for 785, `no` for false, and the
key `on` for true. Values that have two readings must stand in quotes. Anchors and tags are refused.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import yaml
from yaml.resolver import Resolver

from common.mapping.problem import At

MAX_BYTES = 1024 * 1024
"""Of a file."""
MAX_DIGITS = 18
"""Of a whole number without quotes."""
MAX_DEPTH = 30
"""Mappings and lists that stand in each other."""


_DECIMAL_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}")
_TAG = "tag:yaml.org,2002:"
_NO_SIGN = "um \\u ou \\U escreve um sinal que não existe"
_NOT_REPEATED = ("url", "auth", "sign", "headers", "secret_sha256")
"""First keys under which a text may be a secret that does not belong there."""


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong with a file, for people. `file` is relative to the folder; `line` counts from 1, 0 is all of it."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Document:
    """The value of a file, and the line of each key and entry by its place."""

    value: Any
    lines: Mapping[At, int]

    def line_of(self, at: At) -> int:
        """The line of a place, or of what it would stand in."""
        while at and at not in self.lines:
            at = at[:-1]
        return self.lines.get(at, 1)


class _Refused(Exception):
    """The rest of a file cannot be read."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read(content: bytes) -> tuple[Document, list[tuple[int, str]]]:
    """The document of a file, with what is wrong in it by line; where it is no YAML, the value is null."""
    if len(content) > MAX_BYTES:
        return Document(None, {}), [(0, "o arquivo tem mais de 1 MiB")]
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Document(None, {}), [(0, "o arquivo não está em UTF-8")]
    reader = _Reader()
    try:
        value = reader.read(yaml.parse(text, Loader=yaml.SafeLoader))
    except _Refused as refused:
        return Document(None, {}), [(refused.line, refused.message)]
    except yaml.YAMLError as error:
        return Document(None, {}), [_syntax_fault(error, text.splitlines())]
    except (ValueError, OverflowError):  # an escape of a sign that does not exist
        return Document(None, {}), [(0, f"não é YAML válido: {_NO_SIGN}")]
    return Document(value, reader.lines), reader.faults


def _syntax_fault(error: Any, lines: Sequence[str]) -> tuple[int, str]:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else 0
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    hint = ""
    if "${" in written and "{" in written.replace("${", ""):
        hint = ": dentro de { }, coloque ${...} entre aspas"
    elif re.search(r"[:,\[-] *\*", written):
        hint = ": um valor que começa com * precisa de aspas"
    elif re.search(r"[:,\[-] *[%@`]", written):
        hint = ": um valor que começa com %, @ ou ` precisa de aspas"
    elif "\t" in written:
        hint = ": use espaços, não tabulações"
    return line, f"não é YAML válido{hint}"


class _Reader:
    """Builds values out of the events of a parser, without recursion over what it does not know the depth of."""

    def __init__(self) -> None:
        self.lines: dict[At, int] = {}
        self.faults: list[tuple[int, str]] = []
        self._resolve: Callable[..., str] = Resolver().resolve

    def read(self, events: Iterator[Any]) -> Any:
        value, documents = None, 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise _Refused(_line(event), "o arquivo tem mais de um documento (---)")
                first = next(events)
                self.lines[()] = _line(first)
                value = self._value(first, events, ())
        return value

    def _value(self, event: Any, events: Iterator[Any], at: At) -> Any:
        self._check(event, at)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, at)
        if isinstance(event, yaml.SequenceStartEvent):
            entries: list[Any] = []
            for inner in events:
                if isinstance(inner, yaml.SequenceEndEvent):
                    break
                place = (*at, len(entries))
                self.lines[place] = _line(inner)
                entries.append(self._value(inner, events, place))
            return entries
        return self._mapping(events, at)

    def _mapping(self, events: Iterator[Any], at: At) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for inner in events:
            if isinstance(inner, yaml.MappingEndEvent):
                break
            self._check(inner, at)
            if not isinstance(inner, yaml.ScalarEvent):
                raise _Refused(_line(inner), "uma chave deve ser um texto")
            key = self._text(inner)
            if not inner.implicit[1] and self._tag(inner) != "str":
                self.faults.append((_line(inner), f"a chave `{key}`: coloque entre aspas"))
            place = (*at, key)
            if key in found:
                self.faults.append((_line(inner), f"a chave `{key}` está repetida"))
            else:
                self.lines[place] = _line(inner)
            found[key] = self._value(next(events), events, place)
        return found

    def _check(self, event: Any, at: At) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            said = "âncoras (&) e referências (*) não são aceitas; um valor que começa com & ou * precisa de aspas"
            raise _Refused(_line(event), said)
        if getattr(event, "tag", None) is not None:
            raise _Refused(_line(event), "etiquetas (!) não são aceitas; um valor que começa com ! precisa de aspas")
        if len(at) > MAX_DEPTH:
            raise _Refused(_line(event), "níveis demais")

    def _tag(self, event: Any) -> str:
        tag: str = self._resolve(yaml.ScalarNode, event.value, event.implicit)
        return tag.removeprefix(_TAG)

    def _text(self, event: Any) -> str:
        written: str = event.value
        if any("\ud800" <= char <= "\udfff" for char in written):
            raise _Refused(_line(event), _NO_SIGN)
        return written

    def _scalar(self, event: Any, at: At) -> Any:
        written = self._text(event)
        if not event.implicit[0]:
            return written
        kind = self._tag(event)
        value, is_clear = _of_kind(kind, written)
        if not is_clear:
            shown = "" if at[:1] in [(each,) for each in _NOT_REPEATED] else f"`{written}`: "
            self.faults.append((_line(event), f"{shown}coloque o valor entre aspas; sem elas, YAML lê outra coisa"))
            return written
        return value


def _of_kind(kind: str, written: str) -> tuple[Any, bool]:
    """The value of a text without quotes, and whether it has one reading."""
    value: Any = None
    is_clear = False
    match kind:
        case "str":
            value, is_clear = written, True
        case "null":
            is_clear = True
        case "bool":
            value, is_clear = written == "true", written in ("true", "false")
        case "int" if _DECIMAL_INTEGER.fullmatch(written) and len(written) <= MAX_DIGITS:
            value, is_clear = int(written), True
        case "float" if _FLOAT.fullmatch(written):
            value = float(written)
            is_clear = repr(value) == written
        case "timestamp":
            value = _time(written)
            is_clear = value is not None
    return value, is_clear


def _time(written: str) -> date | None:
    try:
        if _DAY.fullmatch(written):
            return date.fromisoformat(written)
        return datetime.fromisoformat(written) if _MOMENT.fullmatch(written) else None
    except ValueError:
        return None


def _line(event: Any) -> int:
    number: int = event.start_mark.line + 1
    return number
