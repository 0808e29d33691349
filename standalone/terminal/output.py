"""What the commands print: tables that fit, durations and moments for people, the API's answer for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache

from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

from common.clock import BRASILIA
from common.resources import RESOURCE_NAMES
from standalone.api import Answer
from standalone.console import say
from standalone.language import tr

STYLES = {
    **dict.fromkeys(("success", "complete", "ok"), "green"),
    **dict.fromkeys(
        ("cancelled", "rejected", "partial", "attention", "warning", "paused", "waiting", "held"), "yellow"
    ),
    **dict.fromkeys(("failed", "problem", "error", "critical", "stopped", "missing", "invalid"), "red"),
}
"""Of states and the levels of logs; what is not here is plain."""


@cache
def console() -> Console:
    """Standard output: as wide as the terminal and in colours, or without both where no person reads."""
    is_terminal = sys.stdout.isatty()
    return Console(
        force_terminal=is_terminal,  # whatever FORCE_COLOR says
        width=None if is_terminal else 10_000,
        markup=False,
        emoji=False,
        highlight=False,
    )


def print_answer(
    answer: Answer | list[Answer], *parts: RenderableType, as_json: bool = False, indent: int | None = 2
) -> None:
    """Print an answer: itself for programs, else the parts for people. Tables fit into the terminal."""
    if as_json:
        say(json.dumps(answer, ensure_ascii=False, indent=indent))
        return
    with console().capture() as captured:
        for part in parts:
            console().print(part, soft_wrap=isinstance(part, str | Text))
    say("\n".join(line.rstrip() for line in captured.get().splitlines()))


def table(heads: Sequence[str], *, right: Iterable[str] = (), wrap: Iterable[str] = ()) -> Table:
    """An empty table with these heads: columns of figures stand to the right, those of texts may have several lines.

    On a terminal a head has a word in a line, since what stands below is often narrower; elsewhere it is one line.
    """
    columns = []
    for head in heads:
        words = tr(head)
        shown = words.replace(" ", "\n") if console().is_terminal else words
        columns.append(Column(shown, no_wrap=head not in wrap, justify="right" if head in right else "left"))
    return Table(*columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)


def state_of(state: str, word: str | None = None) -> Text:
    """A state in its colour, in the person's language or in a word of its own."""
    return Text(word or tr(state), STYLES.get(state, ""))


def another_resource(answer: Answer) -> str:
    """The resource of an execution or a plan where it is not the one that is meant without a name; else nothing."""
    resource = str(answer.get("resource", RESOURCE_NAMES[0]))
    return "" if resource == RESOURCE_NAMES[0] else resource


def moment(text: str | None) -> str:
    """A moment in Brasília's time, to the minute; a head or a label beside it says so."""
    return "-" if text is None else f"{datetime.fromisoformat(text).astimezone(BRASILIA):%Y-%m-%d %H:%M}"


def labelled(text: str | None) -> str:
    """A moment with its zone and its distance from now."""
    if text is None:
        return "-"
    return f"{moment(text)} ({tr('Brasília')}), {ago(text)}"


def ago(text: str | None) -> str:
    """A moment as its distance from now, of which people need no more than minutes."""
    if text is None:
        return "-"
    seconds = (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()
    return tr("in {time}", time=duration(-seconds)) if seconds < 0 else tr("{time} ago", time=duration(seconds))


def window_of(execution: Answer) -> str:
    """From when to when, in Brasília's wall clock: days where they are whole, else to the minute."""
    if execution["window_start"] is None:
        return "-"
    (first, start), (last, end) = (execution[name].split("T") for name in ("window_start", "window_end"))
    if start == "00:00:00" and end.startswith("23:59:59"):
        return first if first == last else f"{first} - {last}"
    return f"{first} {start[:5]} - " + (end[:5] if first == last else f"{last} {end[:5]}")


def duration(seconds: float) -> str:
    """A duration for people: 45 s, 12 min 05 s, 3 h 20 min, 2 d 04 h."""
    whole = round(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days} d {hours % 24:02} h"
    if hours:
        return f"{hours} h {minutes % 60:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"
