"""What comes in: import a file, and the imports with what became of their rows."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from standalone.api import Answer, Api
from standalone.console import complain, say
from standalone.language import number, tr
from standalone.settings import from_caller
from standalone.system import LaunchError
from standalone.terminal import INTERRUPTED
from standalone.terminal.output import STYLES, labelled, moment, print_answer, state_of, table
from standalone.terminal.watching import watch_import

REJECTED_ROWS = 3
"""The exit code of an import that is done, but not with all of its rows."""
SHOWN = 10
"""Cells that are wrong, of which the first ones are shown."""
PHASES = {
    "receiving": "being received",
    "queued": "queued",
    "checking": "being read",
    "held": "held back",
    "processing": "processing",
    "done": "done",
    "refused": "refused",
    "discarded": "discarded",
}
DOORS = {"api": "JSON", "file": "file", "folder": "folder", "page": "page", "sql": "database"}
LOOKS = {"held": "held", "done": "success", "refused": "error", "discarded": "cancelled"}

# --- ./pncp import ----------------------------------------------------------------------------------------------


def import_file(api: Api, options: argparse.Namespace) -> int:
    """Upload a file, show what its rows would do, and take them in if that is wanted."""
    path = from_caller(options.file, dict(os.environ))
    if not path.is_file():
        raise LaunchError(tr("there is no file {file}", file=path))
    address = f"/intake/{(options.layout or options.entity).replace('_', '-')}/arquivo"
    parameters = {"nome": path.name, "confirmar": "sim", "repetir": "true" if options.again else "false"}
    accepted = api.upload(address, path, **parameters)
    import_id = str(accepted["import_id"])
    try:
        checked = watch_import(api, import_id, is_quiet=options.json)
        if checked["phase"] != "held":  # refused as a whole, or decided elsewhere
            return _say_ended(api, checked, options, path)
        if not options.json:
            print_answer(checked, *_preview_with_faults(api, checked))
        return _decide(api, checked, options, path)
    except KeyboardInterrupt:
        say(tr("no longer watching; import {id} stays as it is: ./pncp imports {id}", id=import_id))
        return INTERRUPTED


def _decide(api: Api, checked: Answer, options: argparse.Namespace, path: Path) -> int:
    """Take the rows in, or not: as the options say, else as the person does."""
    import_id = checked["id"]
    if options.dry_run:
        api.post(f"/imports/{import_id}/discard")
        print_answer(checked, tr("nothing was taken in"), as_json=options.json)
        return REJECTED_ROWS if checked["rejected"] else 0
    if not options.yes and not sys.stdin.isatty():
        complain(tr("import {id} waits: ./pncp imports {id} --confirm takes it in, --discard does not", id=import_id))
        return 1
    if not options.yes and not _is_wanted(checked):
        print_answer(api.post(f"/imports/{import_id}/discard"), tr("nothing was taken in"), as_json=options.json)
        return 1
    api.post(f"/imports/{import_id}/confirm")
    return _say_ended(api, watch_import(api, str(import_id), is_quiet=options.json), options, path)


def _is_wanted(checked: Answer) -> bool:
    sys.stderr.write(tr("Take in {n} records? [y/N] ", n=number(checked["pending"])))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes", "s", "sim")


def _say_ended(api: Api, ended: Answer, options: argparse.Namespace, path: Path) -> int:
    print_answer(ended, *details_of(ended), as_json=options.json)
    if ended["rejected"]:
        _save_errors(api, ended["id"], path.with_name(f"{path.stem}.erros.csv"))
    return _code_of(ended)


def _code_of(ended: Answer) -> int:
    if ended["phase"] != "done":
        return 1
    return REJECTED_ROWS if ended["rejected"] else 0


def _save_errors(api: Api, import_id: int, path: Path) -> None:
    """Write what was wrong with the rows of an import into a file for spreadsheets."""
    try:
        with api.stream(f"/imports/{import_id}/erros.csv") as answer, path.open("wb") as file:
            for part in answer.iter_bytes():
                file.write(part)
    except OSError as error:
        raise LaunchError(tr("{file} cannot be written: {error}", file=path, error=error.strerror)) from None
    complain(tr("what is wrong with the rows is in {file}", file=path))


# --- ./pncp imports ---------------------------------------------------------------------------------------------


def imports(api: Api, options: argparse.Namespace) -> int:
    """List imports, or show one and decide on it."""
    if options.id is None:
        asked = next(
            (f"--{name}" for name in ("confirm", "discard", "watch", "errors") if getattr(options, name)), None
        )
        if asked:
            raise LaunchError(tr("say which import: ./pncp imports ID {option}", option=asked))
        words = {"layout": options.layout, "state": options.state, "door": options.door, "limit": options.limit}
        answer = api.get("/imports", **words)
        print_answer(answer, imports_of(answer["imports"]), as_json=options.json)
        return 0
    address = f"/imports/{options.id}"
    if options.errors:
        _save_errors(api, options.id, from_caller(options.errors, dict(os.environ)))
        return 0
    if options.discard:
        print_answer(
            api.post(f"{address}/discard"), tr("import {id} is discarded", id=options.id), as_json=options.json
        )
        return 0
    if options.confirm:
        api.post(f"{address}/confirm")
    if options.confirm or options.watch:
        try:
            found = watch_import(api, str(options.id), is_quiet=options.json)
        except KeyboardInterrupt:
            say(tr("no longer watching; import {id} stays as it is: ./pncp imports {id}", id=options.id))
            return INTERRUPTED
    else:
        found = api.get(address)
    print_answer(found, *details_of(found), *_faults_of(api, found, options.limit), as_json=options.json)
    return _code_of(found) if options.confirm or options.watch else 0


# --- what is shown ----------------------------------------------------------------------------------------------


def imports_of(listed: list[Answer]) -> RenderableType:
    """Imports in columns, newest first."""
    heads = ("ID", "LAYOUT", "FROM", "STATE", "CAME (Brasília)", "RECORDS", "PROCESSED", "REJECTED", "WAITING", "ERROR")
    shown = table(heads, right=heads[5:9], wrap=("FROM", "CAME (Brasília)", "ERROR"))
    for one in listed:
        origin = one["file_name"] or _door_of(one)
        counts = (one["rows"], one["processed"] + one["unchanged"], one["rejected"], _waiting(one))
        cells = [moment(one["created_at"]), *(number(count) for count in counts), one["fault"] or ""]
        shown.add_row(str(one["id"]), one["layout"], origin, _phase(one), *cells)
    return shown


def _waiting(one: Answer) -> int:
    """How many rows wait; those of an import that was not taken in wait for nothing."""
    return 0 if one["phase"] in ("discarded", "refused") else int(one["pending"])


def _door_of(one: Answer) -> str:
    word = DOORS[one["door"]]
    return tr(word)


def _phase(one: Answer) -> Text:
    phase = str(one["phase"])
    return state_of(LOOKS.get(phase, phase), tr(PHASES[phase]))


def details_of(one: Answer) -> Iterator[RenderableType]:
    """One import: its state, its counts, what its rows do, and what to do about it."""
    yield Text(tr("import {id} of {layout}: ", id=one["id"], layout=one["layout"])) + _phase(one)
    facts = Table.grid(padding=(0, 2))
    origin = " ".join(filter(None, (_door_of(one), one["file_name"])))
    who = f", {one['requested_by']}" if one["requested_by"] else ""
    facts.add_row("  " + tr("from"), f"{origin}, {labelled(one['created_at'])}{who}")
    counts = {name: number(one[name]) for name in ("created", "changed", "unchanged", "rejected", "pending")}
    sums = tr("{created} created, {changed} changed, {unchanged} unchanged, {rejected} rejected", **counts)
    if _waiting(one):
        sums += ", " + tr("{pending} not yet processed", **counts)
    facts.add_row("  " + tr("records"), sums)
    if one["fault"]:
        facts.add_row("  " + tr("error"), Text(f"{one['fault']} ({one['fault_code']})", STYLES["error"]))
    yield facts
    if one["phase"] == "held" or (one["phase"] == "done" and one["pending"]):
        yield from preview_of(one)
    if one["phase"] == "held":
        yield "  " + tr("to take it in: ./pncp imports {id} --confirm; not to: --discard", id=one["id"])


def preview_of(one: Answer) -> Iterator[RenderableType]:
    """What the rows of each entity would do, and what is to be said of the file."""
    heads = ("ENTITY", "NEW", "CHANGED", "UNCHANGED", "WAITING", "REJECTED")
    shown = table(heads, right=heads[1:])
    for each in one["preview"]:
        counts = (each[name] for name in ("create", "change", "none", "waiting", "rejected"))
        shown.add_row(each["entity"], *(number(count) for count in counts))
    yield shown
    changed = one["notes"].get("changed_since")
    if changed:
        said = tr("records that changed after the preview that was confirmed: {count}", count=number(changed))
        yield Text(said, STYLES["warning"])
    unknown = one["notes"].get("unknown_columns")
    if unknown:
        yield Text(tr("columns that are not taken in: {names}", names=", ".join(unknown)), STYLES["warning"])


def _preview_with_faults(api: Api, one: Answer) -> Iterator[RenderableType]:
    yield from preview_of(one)
    yield from _faults_of(api, one, SHOWN)


def _faults_of(api: Api, one: Answer, limit: int) -> Iterable[RenderableType]:
    """The first rejected cells of an import."""
    if not one["rejected"]:
        return ()
    rows = api.get(f"/imports/{one['id']}/rows", state="rejected", limit=min(limit, 1000))["rows"]
    return [faults_of(rows), tr("{n} records are rejected", n=number(one["rejected"]))]


def faults_of(rows: list[Answer]) -> RenderableType:
    """What is wrong with rows, cell by cell."""
    heads = ("ROW", "ENTITY", "COLUMN", "VALUE", "REASON")
    shown = table(heads, right=("ROW",), wrap=("VALUE", "REASON"))
    for row in rows:
        for error in row["errors"]:
            cells = [error["column"] or "-", error["value"] or "-", f"{error['message']} ({error['code']})"]
            shown.add_row(str(row["row"]), row["entity"], *cells)
    return shown
