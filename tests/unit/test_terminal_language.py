"""The terminal's texts: each is there in Portuguese, with the same values."""

import argparse
import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestor.commands import make_parser as make_ingestor_parser
from standalone import cli, language
from standalone.language import ENGLISH, PORTUGUESE, number, tr
from standalone.portuguese import TEXTS
from tests.support import ROOT

FIELDS = {"estado", "fact", "mode", "phase", "status", "state"}
"""Strings in calls of `tr` that are no texts: keys of answers."""
WORDS_OF_THE_API = {"empty", "finished", "healthy", "never"}
"""States and facts that only answers name."""


def sources() -> Iterator[ast.AST]:
    for path in sorted([*(ROOT / "standalone").rglob("*.py"), ROOT / "ingestor" / "connections.py"]):
        if path.name != "portuguese.py":
            yield from ast.walk(ast.parse(path.read_text()))


def literals(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def fields_of(text: str) -> set[str]:
    return set() if "%(" in text else {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, PORTUGUESE),
        ({"LANG": "C.UTF-8"}, PORTUGUESE),
        ({"LANG": "en_US.UTF-8"}, ENGLISH),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "pt_BR.UTF-8"}, PORTUGUESE),
        ({"LANG": "pt_BR.UTF-8", "LC_MESSAGES": "en_GB"}, ENGLISH),
        ({"LANGUAGE": "en:pt", "LC_ALL": "pt_BR.UTF-8"}, ENGLISH),
        ({"LANGUAGE": "", "LANG": "en"}, ENGLISH),
    ],
)
def test_the_first_variable_that_is_set_names_the_language(variables: dict[str, str], named: str) -> None:
    assert language.language(variables) == named


def test_a_text_and_a_number_are_in_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (tr("{n} days", n=number(1234)), number(12.5, 1)) == ("1,234 days", "12.5")
    monkeypatch.setenv("LANGUAGE", "pt_BR")
    assert (tr("{n} days", n=number(1234)), number(12.5, 1)) == ("1.234 dias", "12,5")


def test_every_text_that_the_code_translates_is_there_in_portuguese() -> None:
    calls = [node for node in sources() if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args]
    translated = [node.args[0] for node in calls if node.func.id in ("tr", "table")]  # type: ignore[attr-defined]
    texts = set().union(*(literals(node) for node in translated)) - FIELDS
    assert len(texts) > 250
    assert sorted(texts - set(TEXTS)) == []


def test_every_command_action_and_option_has_its_text_in_portuguese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "pt_BR")
    assert sorted({command.summary for command in cli.COMMANDS.values()} - set(TEXTS)) == []
    assert sorted({command.group for command in cli.COMMANDS.values()} - set(TEXTS)) == []
    known = set(TEXTS.values())
    for name, command in cli.COMMANDS.items():
        if not command.hands_on_arguments:
            assert sorted(texts_of(cli.make_parser(name)) - known) == []


def texts_of(parser: argparse.ArgumentParser) -> set[str]:
    """The helps of a parser's options and actions that are whole texts: without values, and no lists of names."""
    found = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {str(choice.help) for choice in action._choices_actions}
            found |= set().union(*(texts_of(each) for each in action.choices.values()))
        elif action.help and "contrat" not in action.help and action.help != ", ".join(cli.SHELLS):
            found.add(action.help)
    return found


def test_no_text_in_portuguese_is_left_over() -> None:
    said = set().union(*(literals(node) for node in sources() if isinstance(node, ast.Constant)))
    argparse_says = literals(ast.parse(Path(argparse.__file__).read_text()))
    assert sorted(set(TEXTS) - said - argparse_says - WORDS_OF_THE_API) == []


def test_a_translation_has_the_values_of_its_text() -> None:
    for text, translation in TEXTS.items():
        assert fields_of(translation) == fields_of(text), text
        assert set(re.findall(r"%\(\w+\)|%s", translation)) <= set(re.findall(r"%\(\w+\)|%s", text)), text
        assert translation.strip(), text


def test_the_commands_of_the_ingestor_are_those_of_the_terminal() -> None:
    (theirs,) = (each for each in make_ingestor_parser()._actions if isinstance(each, argparse._SubParsersAction))
    assert set(theirs.choices) <= set(cli.TOOLS)
