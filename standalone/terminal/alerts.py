"""`./pncp alerts`: episodes of trouble, a message to try the channels, and what an administrator has acknowledged."""

import argparse
from collections.abc import Iterator
from urllib.parse import quote

from rich.console import RenderableType

from standalone.api import Answer, Api
from standalone.language import number, tr
from standalone.terminal.output import moment, print_answer, state_of, table


def alerts(api: Api, options: argparse.Namespace) -> int:
    """List the episodes, send a test message (1 if a channel failed), or acknowledge a trouble of the verdict."""
    match options.what:
        case "test":
            answer = api.post("/sync/alerts/test")
            print_answer(answer, channels_of(answer["channels"]), as_json=options.json)
            return 0 if all(channel["delivered"] for channel in answer["channels"]) else 1
        case "ack":
            answer = api.post(_address_of(options.trouble)) or {}
            line = tr("trouble {id} is acknowledged until it changes", id=options.trouble)
        case "unack":
            api.delete(_address_of(options.trouble))
            answer = {}
            line = tr("trouble {id} counts again", id=options.trouble)
        case _:
            answer = api.get("/sync/alerts", limit=options.limit)
            print_answer(answer, *episodes_of(answer), as_json=options.json)
            return 0
    print_answer(answer, line, as_json=options.json)
    return 0


def _address_of(trouble: str) -> str:
    return f"/sync/troubles/{quote(trouble, safe='')}/acknowledge"


def channels_of(channels: list[Answer]) -> RenderableType:
    """What has become of the test message, by channel."""
    shown = table(("CHANNEL", "STATE", "ERROR"), wrap=("ERROR",))
    for one in channels:
        state = state_of("success", tr("delivered")) if one["delivered"] else state_of("failed")
        shown.add_row(one["channel"], state, one["error"] or "")
    return shown


def episodes_of(answer: Answer) -> Iterator[RenderableType]:
    """Episodes in columns, and where messages go."""
    heads = ("ID", "KIND", "STATE", "SINCE (Brasília)", "UNTIL (Brasília)", "MESSAGES", "WHAT")
    shown = table(heads, right=("MESSAGES",), wrap=("WHAT",))
    for one in answer["alerts"]:
        state = state_of("success", tr("over")) if one["resolved_at"] else state_of("problem", tr("open"))
        cells = [moment(one["opened_at"]), moment(one["resolved_at"]), number(one["notifications"]), one["summary"]]
        shown.add_row(str(one["id"]), one["kind"], state, *cells)
    if shown.row_count:
        yield shown
    channels = ", ".join(answer["channels"]) or tr("none: set ALERT_EMAIL_TO or ALERT_WEBHOOK_URL")
    yield tr("{n} open; channels: {channels}", n=answer["open_count"], channels=channels)
