"""The compose file as Compose reads it: interpolated, as the specification says, from `.env`."""

import re
from collections.abc import Mapping
from typing import Any

import yaml
from dotenv import dotenv_values

from tests.support import ROOT

COMPOSE = (ROOT / "docker-compose.yaml").read_text()
OVERRIDES = {
    path.name.split(".")[1]: path.read_text()
    for path in sorted(ROOT.glob("docker-compose.*.yaml"))
    if path.name != "docker-compose.override.yaml"  # a person's own
}
"""The files that come beside it, by the middle of their names: `debug`, `logs`, `scale`."""
_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>[A-Z][A-Z0-9_]*)(?:(?P<how>:-|:\?)(?P<rest>[^}]*))?\}|\$")


def example_settings() -> dict[str, str]:
    """What Compose knows after `cp .env.example .env`."""
    return {name: value for name, value in dotenv_values(ROOT / ".env.example").items() if value is not None}


def interpolate(text: str, settings: Mapping[str, str]) -> str:
    """Put values in the place of variables.

    Raises:
        LookupError: a required one has none; the text is what Compose would print.

    """

    def value_of(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        assert match["name"], f"a lonely $ at {match.start()}"
        value = settings.get(match["name"], "")
        if not value and match["how"] == ":?":
            raise LookupError(f"required variable {match['name']} is missing a value: {match['rest']}")
        return value or (match["rest"] or "")

    return _VARIABLE.sub(value_of, text)


def interpolated_names() -> set[str]:
    """The variables that the compose files take from `.env`."""
    texts = (COMPOSE, *OVERRIDES.values())
    return {match["name"] for text in texts for match in _VARIABLE.finditer(text) if match["name"]}


class _Loader(yaml.SafeLoader):
    """Knows `!reset`, by which an override takes something away."""


_Loader.add_constructor("!reset", lambda loader, node: loader.construct_sequence(node))


def load_override(name: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """An override with values; what `!reset` is written at is empty."""
    document: dict[str, Any] = yaml.load(interpolate(OVERRIDES[name], settings), _Loader)
    return document


def load_compose(settings: Mapping[str, str]) -> dict[str, Any]:
    """The compose file with values."""
    document: dict[str, Any] = yaml.safe_load(interpolate(COMPOSE, settings))
    return document
