"""Sentences in two languages: every code has both, with the same values of the same types."""

import string
from datetime import UTC, date, datetime

import pytest

from backend.language.catalogue import SENTENCES
from backend.language.translator import Text, Translator, negotiate
from common.lifecycle.causes import CAUSES

NOW = datetime(2026, 11, 29, 15, tzinfo=UTC)  # noon in Brasília


def values_in(sentence: str) -> set[tuple[str, str]]:
    """The names of a sentence's values, each with its type."""
    found = string.Formatter().parse(sentence)
    return {(name, "plural" if "|" in (kind or "") else kind or "") for _, name, kind, _ in found if name}


@pytest.mark.parametrize("code", SENTENCES)
def test_every_code_has_both_languages_with_the_same_values(code: str) -> None:
    portuguese, english = SENTENCES[code]
    assert portuguese
    assert english
    assert values_in(portuguese) == values_in(english)


@pytest.mark.parametrize("code", SENTENCES)
def test_every_form_of_a_count_stands_for_one_and_for_many(code: str) -> None:
    for sentence in SENTENCES[code]:
        for _, _, kind, _ in string.Formatter().parse(sentence):
            assert "|" not in (kind or "") or len(str(kind).split("|")) == 2, sentence


def test_every_cause_has_its_sentence_and_its_advice() -> None:
    for cause in CAUSES:
        assert f"cause.{cause}" in SENTENCES
        assert f"advice.{cause}" in SENTENCES


@pytest.mark.parametrize(
    ("code", "values", "portuguese", "english"),
    [
        ("failed_updates.title", {"count": 1}, "1 atualização falhou", "1 update failed"),
        ("failed_updates.title", {"count": 0}, "0 atualizações falharam", "0 updates failed"),
        ("failed_updates.title", {"count": 1800}, "1.800 atualizações falharam", "1,800 updates failed"),
        ("fresh.title", {"until": NOW}, "Atualizado até 12:00", "Up to date until 12:00"),
        (
            "fresh.title",
            {"until": datetime(2026, 11, 28, 15, tzinfo=UTC)},
            "Atualizado até 28/11/2026, 12:00",
            "Up to date until 2026-11-28, 12:00",
        ),
        ("complete.title", {"first": date(2021, 1, 2)}, "Completo desde 02/01/2021", "Complete since 2021-01-02"),
        ("late.title", {"age": 59}, "Atrasado 59 s", "59 s late"),
        ("late.title", {"age": 7200}, "Atrasado 2 h", "2 h late"),
        ("late.title", {"age": 4 * 86400}, "Atrasado 4 dias", "4 days late"),
        ("service.listing", {"service": "atas"}, "A listagem de atas de registro de preços do portal", None),
        (
            "of_resource",
            {"resource": "atas", "said": Text("never_updated.title")},
            "Atas de registro de preços: ainda não atualizou",
            "Atas de registro de preços: not updated yet",
        ),
        (
            "itens_owed.text",
            {"why": [Text("owed.unread", {"records": 2}), Text("owed.empty", {"records": 1})]},
            (
                "A lista de 2 registros não pôde ser lida; a lista de 1 registro veio vazia, o que nada confirma ainda."
                " São lidos assim que o portal os der."
            ),
            None,
        ),
    ],
)
def test_values_are_written_as_people_of_the_language_write_them(
    code: str, values: dict[str, object], portuguese: str, english: str | None
) -> None:
    assert Translator("pt-BR", NOW).say(Text(code, values)) == portuguese
    if english is not None:
        assert Translator("en", NOW).say(Text(code, values)) == english


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "pt-BR"),
        ("", "pt-BR"),
        ("en", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("EN-us", "en"),
        ("pt", "pt-BR"),
        ("pt-PT, en;q=0.5", "pt-BR"),
        ("fr, en;q=0.5", "en"),
        ("fr", "pt-BR"),
        ("*", "pt-BR"),
        ("pt;q=0, *", "en"),
        ("fr, *;q=0.1", "pt-BR"),
        ("pt-BR;q=0.4, en;q=0.8", "en"),
        ("en;q=0.8, pt-BR;q=0.8", "en"),
        ("en;q=0", "pt-BR"),
        ("en;q=abc, pt", "pt-BR"),
        ("en;q=2", "pt-BR"),
        ("en ; q=0.9", "en"),
        (";;;,,,", "pt-BR"),
    ],
)
def test_the_language_is_what_the_header_prefers(header: str | None, language: str) -> None:
    assert negotiate(header) == language


def test_nan_is_no_weight() -> None:
    assert negotiate("en;q=nan, pt") == "pt-BR"


def test_an_unknown_code_is_an_error() -> None:
    with pytest.raises(KeyError):
        Translator().say(Text("no such code"))
