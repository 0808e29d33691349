"""Every sentence that the server says to people, by its code: in Portuguese, and in English."""

from collections.abc import Mapping

from backend.language import alerts, causes, deliveries, problems, verdict

Sentences = Mapping[str, tuple[str, str]]

_PARTS: tuple[Sentences, ...] = (
    alerts.SENTENCES,
    causes.SENTENCES,
    deliveries.SENTENCES,
    problems.SENTENCES,
    verdict.SENTENCES,
)


def _join(parts: tuple[Sentences, ...]) -> Sentences:
    """All of them, each code once."""
    joined: dict[str, tuple[str, str]] = {}
    for part in parts:
        if twice := joined.keys() & part.keys():
            raise ValueError(f"more than one sentence of {', '.join(sorted(twice))}")
        joined |= part
    return joined


SENTENCES = _join(_PARTS)
