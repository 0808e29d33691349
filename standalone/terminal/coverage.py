"""`./pncp coverage`: what the mirror has of each day."""

import argparse
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import itemgetter

from rich.console import RenderableType

from common.clock import BRASILIA
from standalone.api import Answer, Api
from standalone.language import number, tr
from standalone.terminal.output import print_answer, state_of, table

USUAL_DAYS = 30


def coverage(api: Api, options: argparse.Namespace) -> int:
    """Print the days; without bounds the last thirty."""
    last = date.fromisoformat(options.last) if options.last else datetime.now(BRASILIA).date()
    first = date.fromisoformat(options.first) if options.first else last - timedelta(days=USUAL_DAYS - 1)
    answer = api.get("/sync/coverage", **{"from": str(first), "to": str(last), "resource": options.resource})
    print_answer(answer, *coverage_of(answer["days"]), as_json=options.json)
    return 0


def coverage_of(days: list[Answer]) -> Iterator[RenderableType]:
    """Days in columns, those in a row of one state in a line, and how many there are of each state."""
    figures = ("DAYS", "RECORDS", "REJECTED")
    shown = table(("FROM", "TO", "DAYS", "STATE", "RECORDS", "REJECTED"), right=figures)
    for state, group in groupby(days, key=itemgetter("state")):
        span = list(group)
        records, rejected = (sum(day[name] for day in span) for name in ("records", "records_rejected"))
        counts = (number(records), number(rejected))
        shown.add_row(span[0]["day"], span[-1]["day"], str(len(span)), state_of(state), *counts)
    yield shown
    states = Counter(day["state"] for day in days)
    counted = ", ".join(f"{count} {tr(state)}" for state, count in states.most_common())
    yield tr("{n} days", n=len(days)) + f": {counted}"
