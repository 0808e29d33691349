"""What a person asks a search for becomes a `tsquery`, or says why it cannot."""

import pytest

from backend.services.search import MOST_WORDS, Unanswerable, fold, forms_of, to_tsquery_text


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("pneu 10", "(('pneu' | 'pneus')) & ('10')"),
        ("papel OU toner", "(('papel' | 'papeis')) | (('toner' | 'toneres'))"),
        ("s10 OU s20 -s30", "('s10') | ('s20') & !('s30')"),
        ('"Óleo Diesel" x1', "('oleo diesel') & ('x1')"),
        ('-"lote 1" x1', "!('lote 1') & ('x1')"),
        ("licita*", "('licita':*)"),
        ("edital-lic*", "('edital' <-> 'lic':*)"),
        ("90001/2025", "('90001 2025')"),
        ("s-10, a4.", "('s 10') & ('a4')"),
        ("www.gov.br/pncp", "(('www') <-> ('gov') <-> ('br' | 'bres') <-> ('pncp'))"),
        ('x1 "y2', "('x1') & ('y2')"),
        ('x1 OU OU - " " * \'', "('x1')"),
        ("ou1 ou2", "('ou1') & ('ou2')"),
    ],
)
def test_a_question_becomes_a_tsquery(question: str, wanted: str) -> None:
    assert to_tsquery_text(question) == wanted


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("", Unanswerable.EMPTY),
        (" \t\n", Unanswerable.EMPTY),
        ("OU", Unanswerable.EMPTY),
        ("- * \" ' \\ & | ! ( ) < > :", Unanswerable.EMPTY),
        ("-pneu", Unanswerable.ONLY_NEGATIVE),
        ("-pneu --óleo", Unanswerable.ONLY_NEGATIVE),
        ("pneu OU -óleo", Unanswerable.ONLY_NEGATIVE),
        ("pn*", Unanswerable.SHORT_PREFIX),
        ("x" + " y" * MOST_WORDS, Unanswerable.TOO_LONG),
        ("-".join("x" * (MOST_WORDS + 1)), Unanswerable.TOO_LONG),
    ],
)
def test_a_question_without_anything_to_look_for_says_so(question: str, why: Unanswerable) -> None:
    assert to_tsquery_text(question) is why


def test_words_that_say_nothing_are_passed_over_but_in_phrases_and_alone() -> None:
    assert to_tsquery_text("x1 de y2") == "('x1') & ('y2')"
    assert to_tsquery_text('"x1 de y2"') == "('x1 de y2')"
    assert to_tsquery_text("x1 -de") == "('x1') & !(('de' | 'des'))"
    assert to_tsquery_text("de") == "(('de' | 'des'))"


def test_accents_and_capitals_mean_nothing() -> None:
    assert fold("LICITAÇÃO À VISTA") == "licitacao a vista"
    assert to_tsquery_text("ÓRGÃO") == to_tsquery_text("orgao")


def test_a_word_stands_for_its_other_number() -> None:
    assert {"licitacoes"} <= set(forms_of("licitacao"))
    assert {"licitacao"} <= set(forms_of("licitacoes"))
    assert forms_of("") == []
    assert forms_of("s") == []
