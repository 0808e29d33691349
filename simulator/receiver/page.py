"""The page of a receiver: what came last, for people. It loads itself again."""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, Final

from simulator.receiver.state import Event, State

RELOAD_SECONDS: Final = 2

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "body{color:#1b1b1b;background:#fff}"
    "h1{font-size:1.4rem}h2{font-size:1.1rem}table{border-collapse:collapse;width:100%;margin:1rem 0}"
    "th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ddd;vertical-align:top}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    "article{border-left:4px solid #1351b4;background:#f4f6fa;margin:.6rem 0;padding:.4rem .8rem}"
    "article p{margin:0}article pre{white-space:pre-wrap;overflow-wrap:anywhere;font:inherit;margin:.3rem 0 0}"
    "small{color:#555}"
    "@media (prefers-color-scheme:dark){body{color:#eee;background:#161616}article{background:#222}small{color:#aaa}"
    "th,td{border-color:#444}}"
)
_COUNTS: Final = (
    ("requests", "Requisições"),
    ("records", "Registros"),
    ("refused", "Recusados"),
    ("repeats", "Repetições reconhecidas"),
    ("duplicates", "Aplicados de novo"),
    ("backwards", "Versões para trás"),
)


def render_page(state: State) -> str:
    """The page, in Portuguese."""
    boxes = {name: box.counts() for name, box in sorted(state.boxes.items())}
    return (
        '<!doctype html><html lang="pt-BR"><head><meta charset="utf-8">'
        f'<meta http-equiv="refresh" content="{RELOAD_SECONDS}">'
        '<meta name="viewport" content="width=device-width"><title>Receptor de demonstração</title>'
        f"<style>{_STYLE}</style></head><body><h1>Receptor de demonstração</h1>"
        "<p>Aqui chega o que o PNCP Sync entrega. Nada sai desta máquina, "
        "e tudo se perde quando o receptor termina.</p>"
        f"{_table(boxes)}<h2>O que chegou por último</h2>{_events(state.events)}</body></html>"
    )


def _table(boxes: Mapping[str, Mapping[str, Any]]) -> str:
    if not boxes:
        return "<p>Nada chegou ainda.</p>"
    head = "".join(f'<th class="n" scope="col">{label}</th>' for _, label in _COUNTS)
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f'<td class="n">{counts[count]}</td>' for count, _ in _COUNTS)
        + "</tr>"
        for name, counts in boxes.items()
    )
    return f'<table><thead><tr><th scope="col">Endereço</th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _events(events: Iterable[Event]) -> str:
    return (
        "".join(
            f"<article><p><strong>{escape(event.box)}</strong> {escape(event.said)} "
            f"<small>{event.at:%H:%M:%S}</small></p>"
            + (f"<pre>{escape(event.text)}</pre>" if event.text else "")
            + "</article>"
            for event in reversed(list(events))
        )
        or "<p>Nada ainda.</p>"
    )
