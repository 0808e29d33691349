"""`./pncp log`: what the services have logged of an execution."""

import argparse
import time
from datetime import datetime

from rich.text import Text

from common.clock import BRASILIA
from standalone.api import Answer, Api
from standalone.terminal.output import STYLES, print_answer

POLL_SECONDS = 1.0
MOST_LINES = 500
MOST_LOG_LINES = 1000


def log(api: Api, options: argparse.Namespace) -> int:
    """Print the lines; with --follow until the execution has ended."""
    left = options.limit or (float("inf") if options.follow else MOST_LOG_LINES)
    cursor: int | None = None
    has_ended = not options.follow
    while left > 0:
        page = api.get(
            f"/sync/executions/{options.id}/log", level=options.level, cursor=cursor, limit=int(min(left, MOST_LINES))
        )
        for line in page["lines"][: int(min(left, MOST_LINES))]:
            print_answer(line, Text(log_line(line), STYLES.get(line["level"], "")), as_json=options.json, indent=None)
            cursor = line["id"]
        left -= len(page["lines"])
        if page["next_cursor"] is None:
            if has_ended:
                break
            time.sleep(POLL_SECONDS)
            # its last lines are read after its end was seen
            has_ended = api.get(f"/sync/executions/{options.id}")["status"] != "running"
    return 0


def log_line(line: Answer) -> str:
    """One line of an execution's log, its moment in Brasília's time with the offset."""
    fields = " ".join(f"{name}={value}" for name, value in (line.get("fields") or {}).items())
    piece = "" if line.get("slice_id") is None else f"slice {line['slice_id']} "
    moment = datetime.fromisoformat(line["logged_at"]).astimezone(BRASILIA)
    return f"{moment:%Y-%m-%d %H:%M:%S%z} {line['level']:<8} {piece}{line['event']} {fields}".rstrip()
