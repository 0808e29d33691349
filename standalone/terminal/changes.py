"""`./pncp changes`: the newest of the feed of changes."""

import argparse

from rich.console import RenderableType

from standalone.api import Answer, Api
from standalone.terminal.output import moment, print_answer, table

PAGE = 500
MOST_PAGES = 10
"""How far back is looked for what is rare."""


def changes(api: Api, options: argparse.Namespace) -> int:
    """Print them, the newest last."""
    found: list[Answer] = []
    end = int(api.get("/mudancas", limite=1)["ultimo"])
    for _ in range(MOST_PAGES):
        if end <= 0 or len(found) >= options.limit:
            break
        start = max(end - PAGE, 0)
        page = api.get("/mudancas", entidade=options.resource, desde=start, limite=PAGE)["registros"]
        kept = [row for row in page if row["seq"] <= end and options.kind in (None, row["tipo"])]
        found, end = kept + found, start
    found = found[-options.limit :]
    print_answer({"registros": found}, table_of(found), as_json=options.json)
    return 0


def table_of(found: list[Answer]) -> RenderableType:
    """Changes in columns."""
    shown = table(("CHANGE", "WHEN (Brasília)", "RESOURCE", "RECORD", "KIND", "FIELDS"), wrap=("FIELDS",))
    for one in found:
        fields = ", ".join(sorted(one["campos"] or {}))
        shown.add_row(str(one["seq"]), moment(one["quando"]), one["entidade"], one["chave"], one["tipo"], fields)
    return shown
