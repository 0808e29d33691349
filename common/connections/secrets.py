"""Texts that may refer to secrets: `${env:NAME}` and `${file:/path}`, resolved only where they are used."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_REFERENCE = re.compile(r"\$\{(env|file):([^${}]+)\}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MAX_BYTES = 64 * 1024
"""Of a secret's file."""


class SecretMissing(Exception):
    """A secret is not there; the text names the variable or the file, for people."""


class SecretText:
    """A text in a file of settings, with its references.

    Two of the same writing are equal. Nothing that is printed of it shows more than references.
    """

    __slots__ = ("_written",)

    def __init__(self, written: str) -> None:
        """Take a text as it is written.

        Raises:
            ValueError: a reference is not written as one is; the text is for people.

        """
        left = _REFERENCE.sub("", written)
        if "${" in left:
            raise ValueError("escreva ${env:NOME} ou ${file:/caminho}")
        for kind, name in _REFERENCE.findall(written):
            if kind == "env" and not _ENV_NAME.fullmatch(name):
                raise ValueError("escreva ${env:NOME}, com letras, dígitos e _")
            if kind == "file" and not name.startswith("/"):
                raise ValueError("escreva ${file:/caminho}, a partir da raiz")
        self._written = written

    @property
    def literal(self) -> str | None:
        """The text where it has no reference."""
        return None if self.references else self._written

    @property
    def references(self) -> tuple[str, ...]:
        """Its references as they are written."""
        return tuple(match[0] for match in _REFERENCE.finditer(self._written))

    @property
    def outside(self) -> str:
        """What of it is not a reference."""
        return _REFERENCE.sub("", self._written)

    def resolve(self, environ: Mapping[str, str] = os.environ) -> str:
        """The text with its secrets.

        Raises:
            SecretMissing: a variable is not set or empty, or a file cannot be read.

        """
        return _REFERENCE.sub(lambda match: _secret(match[1], match[2], environ), self._written)

    def values(self, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """What its references stand for.

        Raises:
            SecretMissing: as for `resolve`.

        """
        return tuple(_secret(match[1], match[2], environ) for match in _REFERENCE.finditer(self._written))

    def is_there(self, environ: Mapping[str, str] = os.environ) -> bool:
        """Whether all that it refers to is there."""
        return not tuple(self.missing(environ))

    def missing(self, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
        """What is not there of what it refers to, for people."""
        for match in _REFERENCE.finditer(self._written):
            try:
                _secret(match[1], match[2], environ)
            except SecretMissing as error:
                yield str(error)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretText) and other._written == self._written

    def __hash__(self) -> int:
        return hash(self._written)

    def __repr__(self) -> str:
        return f"SecretText({' '.join(self.references) or '***'})"


def _secret(kind: str, name: str, environ: Mapping[str, str]) -> str:
    if kind == "env":
        value = environ.get(name, "")
        if not value:
            raise SecretMissing(f"a variável {name} não está definida")
        return value
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        value = content.decode()
    except (OSError, ValueError):
        raise SecretMissing(f"o arquivo {name} não pode ser lido") from None
    value = value.rstrip("\r\n")
    if not value or len(content) > MAX_BYTES:
        raise SecretMissing(f"o arquivo {name} está vazio ou é grande demais")
    return value
