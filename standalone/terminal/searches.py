"""`./pncp searches`: saved searches, and what the next message of one would say."""

import argparse

from rich.console import RenderableType

from standalone.api import Answer, Api
from standalone.language import tr
from standalone.terminal.output import moment, print_answer, table


def searches(api: Api, options: argparse.Namespace) -> int:
    """List them, show the next message of one, or remove one."""
    match options.what:
        case "show":
            answer = api.get(f"/buscas/{options.id}/previa")
            print_answer(answer, answer["assunto"], "", answer["texto"], as_json=options.json)
        case "remove":
            api.delete(f"/buscas/{options.id}")
            print_answer({}, tr("search {id} is removed", id=options.id), as_json=options.json)
        case _:
            answer = api.get("/buscas")
            print_answer(answer, table_of(answer["buscas"]), as_json=options.json)
    return 0


def table_of(listed: list[Answer]) -> RenderableType:
    """Saved searches in columns."""
    heads = ("ID", "NAME", "LIST", "CHANNELS", "NEXT (Brasília)", "ERROR")
    shown = table(heads, wrap=("NAME", "LIST", "ERROR"))
    for one in listed:
        channels = ", ".join(channel["canal"] for channel in one["canais"]) or "-"
        cells = [one["nome"], one["lista"], channels, moment(one["procura_em"]), one["erro"] or ""]
        shown.add_row(str(one["id"]), *cells)
    return shown
