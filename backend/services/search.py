"""What a person asks a search for, as PostgreSQL's `to_tsquery` takes it; and whether a search finds every row.

A text is indexed word by word, without accents (`busca`, configuration `pncp`). Plurals are looked after in the
question: each of its words stands for its other number too. PostgreSQL's stemming of Portuguese finds half of them.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Row, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from common.resources.derive import BUSCA
from common.search import SEARCHED, SearchedTable

MOST_WORDS = 50
SHORTEST_PREFIX = 3
"""Letters before a `*`: what begins with fewer is too much of everything."""
OR = "OU"
PASSED_OVER = frozenset(
    (
        *(
            "a",
            "ao",
            "aos",
            "as",
            "com",
            "da",
            "das",
            "de",
            "do",
            "dos",
            "e",
            "em",
            "na",
            "nas",
            "no",
            "nos",
            "o",
            "os",
        ),
        *("ou", "para", "pela", "pelas", "pelo", "pelos", "por"),
    )
)
"""Words that say nothing by themselves: outside of phrases a text need not hold them."""


class Unanswerable(Enum):
    """Why there is nothing to look for; the value is for people."""

    EMPTY = "A busca não tem nenhuma palavra."
    ONLY_NEGATIVE = "A busca só diz o que não se quer; cada alternativa precisa de uma palavra que se procura."
    SHORT_PREFIX = f"Antes de * são precisas ao menos {SHORTEST_PREFIX} letras ou algarismos."
    TOO_LONG = f"A busca tem mais de {MOST_WORDS} palavras."


@dataclass(frozen=True)
class _Term:
    """A word, a phrase or a prefix of a question; `words` are what stands between its other characters."""

    words: tuple[str, ...]
    is_negative: bool = False
    is_phrase: bool = False
    is_prefix: bool = False

    @property
    def is_passed_over(self) -> bool:
        return not (self.is_negative or self.is_phrase or self.is_prefix) and PASSED_OVER.issuperset(self.words)

    @property
    def is_short_prefix(self) -> bool:
        return self.is_prefix and len(self.words[-1]) < SHORTEST_PREFIX


def to_tsquery_text(question: str) -> str | Unanswerable:
    """Translate a question to the text of a `tsquery`, for `to_tsquery('pncp', ...)`.

    Words between spaces must all be there, in any order; `OU` separates alternatives; `-word` must not be there;
    `"a phrase"` stands there as it is; `prefix*` begins a word. Accents and capitals mean nothing. A word with other
    characters inside, such as `guarda-chuva` or `90001/2025`, is a phrase; one with digits has no other forms.
    """
    alternatives: list[list[_Term]] = [[]]
    for term in _terms(question):
        if term is None:
            alternatives.append([])
        else:
            alternatives[-1].append(term)
    alternatives = [terms for terms in alternatives if terms]
    if not alternatives:
        return Unanswerable.EMPTY
    every = [term for terms in alternatives for term in terms]
    if sum(len(term.words) for term in every) > MOST_WORDS:
        return Unanswerable.TOO_LONG
    if any(term.is_short_prefix for term in every):
        return Unanswerable.SHORT_PREFIX
    if any(all(term.is_negative for term in terms) for terms in alternatives):
        return Unanswerable.ONLY_NEGATIVE
    return " | ".join(_to_and(terms) for terms in alternatives)


_TERM = re.compile(r'(?P<minus>-*)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')
# What is neither a letter nor a digit parts words, as it does in texts. `_` is one for Python alone.
_WORD = re.compile(r"[^\W_]+")


def _terms(question: str) -> Iterator[_Term | None]:
    """The terms of a question, and `None` for each `OU`."""
    for found in _TERM.finditer(question):
        word = found["word"]
        if word == OR and not found["minus"]:
            yield None
            continue
        written = word if word is not None else found["phrase"]
        words = tuple(_WORD.findall(fold(written)))
        # PostgreSQL passes over what it does not know for a letter or a digit; of these it knows all
        if re.search("[0-9a-z]", "".join(words)):
            yield _Term(
                words,
                is_negative=bool(found["minus"]),
                is_phrase=word is None,
                is_prefix=word is not None and word.rstrip(".,;:!?)").endswith("*"),
            )


def fold(written: str) -> str:
    """Without accents and capitals, as words are indexed."""
    decomposed = unicodedata.normalize("NFD", written).casefold()
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _to_and(terms: list[_Term]) -> str:
    said = [term for term in terms if not term.is_passed_over]
    if all(term.is_negative for term in said):
        said = terms  # there is nothing but words that say nothing by themselves
    return " & ".join(_to_text(term) for term in said)


def _to_text(term: _Term) -> str:
    if term.is_prefix:
        before = " ".join(term.words[:-1])
        joined = f"'{before}' <-> '{term.words[-1]}':*" if before else f"'{term.words[-1]}':*"
    elif term.is_phrase or not re.fullmatch("[a-z]+", "".join(term.words)):
        joined = f"'{' '.join(term.words)}'"  # several words in one operand follow each other
    else:
        joined = " <-> ".join(_to_alternatives(word) for word in term.words)
    return f"!({joined})" if term.is_negative else f"({joined})"


def _to_alternatives(word: str) -> str:
    return "(" + " | ".join(f"'{form}'" for form in [word, *forms_of(word)]) + ")"


# Each ending, and those that a word has in its other number. What is no word finds nothing, so that a form too many
# costs little.
_ENDINGS = {
    "ao": ("oes", "aes", "aos"),
    "al": ("ais",),
    "el": ("eis",),
    "ol": ("ois",),
    "ul": ("uis",),
    "il": ("is", "eis"),
    "m": ("ns",),
    "r": ("res",),
    "z": ("zes",),
    "as": ("ases",),
    "es": ("eses",),
    "is": ("ises",),
    "a": ("as",),
    "e": ("es",),
    "i": ("is",),
    "o": ("os",),
    "u": ("us",),
}
_PAIRS = [(one, many) for one, others in _ENDINGS.items() for many in others]
_CHANGES = [*_PAIRS, *((many, one) for one, many in _PAIRS)]


def forms_of(word: str) -> list[str]:
    """The forms that a folded word may have in the other number, sorted."""
    return sorted({word.removesuffix(old) + new for old, new in _CHANGES if word.endswith(old) and word != old})


# --- whether a search finds every row ---------------------------------------------------------------------------

# From the end that is filled last. The number of rows is what PostgreSQL knew when it looked at the index last.
_UNSEARCHED = """
    SELECT CAST('{table}' AS text) AS name,
           CASE WHEN (SELECT true FROM {table} WHERE {busca} IS NULL ORDER BY {order} LIMIT 1)
                THEN greatest(1, CAST(i.reltuples AS bigint)) ELSE 0 END AS rows
      FROM pg_class i WHERE i.oid = CAST('ix_{table}_unsearched' AS regclass)
"""


def _unsearched_in(tables: Iterable[SearchedTable]) -> TextClause:
    return text(
        " UNION ALL ".join(
            _UNSEARCHED.format_map({"table": table.name, "busca": BUSCA, "order": table.order}) for table in tables
        )
    )


_LOAD_UNSEARCHED = _unsearched_in(SEARCHED.values())
_UNSEARCHED_IN = {name: _unsearched_in([table]) for name, table in SEARCHED.items()}


async def load_unsearched(db: AsyncConnection) -> Sequence[Row[Any]]:
    """Of each table that is searched, how many rows are not found by their words yet, about."""
    return (await db.execute(_LOAD_UNSEARCHED)).all()


async def is_search_complete(db: AsyncConnection, table: str) -> bool:
    """Whether every row of a table is found by its words; `False` while those of some are still to be made."""
    return not (await db.execute(_UNSEARCHED_IN[table])).one().rows
