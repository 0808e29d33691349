"""`./pncp export`: rows of the mirror as a file, made by a job of the backend unless they are few.

What is said goes to standard error: standard output may be the file.
"""

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from standalone.api import Answer, Api, Away, Invalid, Missing
from standalone.console import complain, say
from standalone.language import number, tr
from standalone.settings import from_caller
from standalone.system import LaunchError
from standalone.terminal.output import duration

FIRST_POLL_SECONDS, POLL_SECONDS = 0.1, 1.0
PATIENCE_SECONDS = 120.0
"""How long a backend may be away while it is waited for."""
INVALID, INCOMPLETE, INTERRUPTED = 2, 3, 130
STATES = {"na_fila": "queued", "lendo": "reading", "convertendo": "converting"}
PERSONAL = "dados_pessoais"


def export(api: Api, options: argparse.Namespace) -> int:
    """Run the command; its exit code.

    Raises:
        LaunchError: there is no file; the text says why.

    """
    try:
        if options.filtros:
            return _show_filters(api, options.entity)
        done = _export(api, options)
    except Invalid as error:
        complain(str(error))
        return INVALID
    except KeyboardInterrupt:
        complain(tr("interrupted; there is no file"))
        return INTERRUPTED
    if options.json and options.output != "-":
        say(json.dumps(done, ensure_ascii=False, indent=2))
    complain(tr("{n} rows in {file}", n=number(done["registros"]), file=done["arquivo"]))
    complain(_sentence_of(done["espelho"]))
    return 0 if done["espelho"]["completo"] else INCOMPLETE


def _show_filters(api: Api, address: str) -> int:
    """The filters of an entity: of the mirror as this version has them, of a declared one as the backend says."""
    from common.entities.entity import ENTITIES_BY_ADDRESS  # noqa: PLC0415  # a tenth of a second

    if address in ENTITIES_BY_ADDRESS:
        filters = {name: each.label for name, each in ENTITIES_BY_ADDRESS[address].filters.items()}
    else:
        try:
            described = api.get(f"/entidades/{quote(address, safe='')}")
        except Missing:
            raise _unknown(address) from None
        filters = {each["nome"]: each["rotulo"] for each in described["filtros"]}
    width = max(map(len, filters)) + 4
    for name, label in filters.items():
        say(f"  {'--' + name.replace('_', '-'):<{width}}{label}")
    return 0


def _unknown(address: str) -> Invalid:
    from common.entities.entity import ENTITIES_BY_ADDRESS  # noqa: PLC0415  # a tenth of a second

    near = get_close_matches(address, ENTITIES_BY_ADDRESS, n=1)
    hint = tr("; did you mean {near}?", near=near[0]) if near else f": {', '.join(ENTITIES_BY_ADDRESS)}"
    return Invalid(tr("there is no entity {name}", name=repr(address)) + hint)


def _export(api: Api, options: argparse.Namespace) -> Answer:
    """Write the file; its name, how many rows it has, and whether the mirror is complete for them."""
    is_named = options.output not in (None, "-")
    ending = Path(options.output).suffix.removeprefix(".").lower() if is_named else ""
    file_format = options.formato or ending or "csv"
    personal = [(PERSONAL, "true")] if options.dados_pessoais else []
    try:
        listed = api.get_list(f"/{options.entity}", [*options.filters, *personal, ("limite", "1")])
    except Missing:
        raise _unknown(options.entity) from None
    if listed["total_tipo"] != "exato":
        return _export_by_job(api, options, file_format)
    parameters = [*options.filters, *personal]
    parameters += [(name, value) for name in ("campos", "ordem") if (value := getattr(options, name))]
    parameters += [("excel", "1")] if options.excel else []
    with api.stream(f"/{options.entity}.{file_format}", parameters=parameters) as answer:
        name = _name_in(answer.headers.get("Content-Disposition", "")) or f"{options.entity}.{file_format}"
        with _target(options.output, name) as target:
            for part in answer.iter_bytes():
                target.file.write(part)
        rows = int(answer.headers["X-Total-Registros"])
    return {"arquivo": target.name, "registros": rows, "espelho": listed["espelho"]}


def _name_in(disposition: str) -> str:
    """The file's name in a Content-Disposition, without any folder."""
    return Path(disposition.partition('filename="')[2].partition('"')[0]).name


def _export_by_job(api: Api, options: argparse.Namespace, file_format: str) -> Answer:
    filters: dict[str, list[str]] = {}
    for name, value in options.filters:
        filters.setdefault(name, []).append(value)
    body = {
        "entidade": options.entity,
        "formato": file_format,
        "filtros": filters,
        "campos": options.campos.split(",") if options.campos else None,
        "ordem": options.ordem,
        "excel": options.excel,
        PERSONAL: options.dados_pessoais,
    }
    key = uuid.uuid4().hex
    try:
        job = api.post("/exportacoes", body, key=key)
    except (KeyboardInterrupt, Away):  # perhaps there is a job; with its key it is asked for once
        with suppress(LaunchError):
            api.delete(f"/exportacoes/{api.post('/exportacoes', body, key=key)['id']}")
        raise
    address = f"/exportacoes/{job['id']}"
    try:
        for notice in job["avisos"]:
            complain(notice)
        job = _wait_for(api, job, address)
        with _target(options.output, Path(job["arquivo"]).name) as target:
            _fetch(api, f"{address}/arquivo", target.file)
    finally:
        with suppress(LaunchError):  # it would expire by itself
            api.delete(address)
    return {"arquivo": target.name, "registros": job["registros"], "espelho": job["espelho"]}


# --- the job ----------------------------------------------------------------------------------------------------


def _wait_for(api: Api, job: Answer, address: str) -> Answer:
    """The job when its file is there, its progress shown meanwhile.

    Raises:
        LaunchError: it ended otherwise.

    """
    console = Console(stderr=True, highlight=False)
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(24),
        TextColumn("{task.percentage:5.1f} %"),
        TextColumn("{task.fields[words]}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bar = progress.add_task(tr("queued"), total=100, words="")
    away_since: float | None = None
    pause = FIRST_POLL_SECONDS
    with progress:
        while job["estado"] in STATES:
            time.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS)
            try:
                job = api.get(address)
                away_since = None
            except Away:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_SECONDS:
                    raise
                continue
            left = job["segundos_restantes"]
            all_rows = number(job["registros"])
            all_rows = all_rows if job["registros_tipo"] == "exato" else tr("about {n}", n=all_rows)
            words = tr("{n} of {all} rows", n=number(job["registros_feitos"]), all=all_rows)
            words += "" if left is None else ", " + tr("about {time} left", time=duration(left))
            state = tr(STATES.get(str(job["estado"])) or str(job["estado"]))
            progress.update(bar, completed=job["percentual"], description=state, words=words)
    if job["estado"] != "pronta":
        raise LaunchError(tr("export {id}: {error}", id=job["id"], error=job["erro"] or job["estado"]))
    return job


def _fetch(api: Api, address: str, file: BinaryIO) -> None:
    """Copy a file of the backend; a broken connection goes on where it broke."""
    size, tag, broken_since = 0, "", None
    while True:
        try:
            headers = {"Range": f"bytes={size}-", "If-Range": tag} if size else {}
            with api.stream(address, headers=headers) as answer:
                if size and answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    raise LaunchError(tr("the file changed while it was copied"))
                tag = answer.headers["ETag"]
                for part in answer.iter_bytes():
                    file.write(part)
                    size, broken_since = size + len(part), None
                return
        except Away:
            broken_since = broken_since or time.monotonic()
            if time.monotonic() - broken_since > PATIENCE_SECONDS:
                raise
            time.sleep(POLL_SECONDS)


# --- the file ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Target:
    """Where a file is written, and its name at the end."""

    file: BinaryIO
    name: str


@contextmanager
def _target(output: str | None, name: str) -> Iterator[_Target]:
    """The file to write; it gets its name at the end, and is gone if there is an error before."""
    if output == "-":
        yield _Target(sys.stdout.buffer, output)
        sys.stdout.buffer.flush()
        return
    final = from_caller(output or name, dict(os.environ))
    partial = final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            yield _Target(file, str(final))
        partial.replace(final)
    except OSError as error:
        raise LaunchError(tr("{file} cannot be written: {error}", file=final, error=error.strerror)) from None
    finally:
        partial.unlink(missing_ok=True)


def _sentence_of(mirror: Answer) -> str:
    """Whether the mirror has everything of what was exported."""
    ends = mirror["ate"] and mirror["ate"].replace("T", " ")[:16]
    until = tr("its changes are read up to {moment} (Brasília)", moment=ends) if ends else tr("not kept up to date")
    if mirror["completo"]:
        return tr("the mirror is complete for this; {until}", until=until)
    days, rejected, lists = (mirror[name] for name in ("dias_faltando", "registros_recusados", "listas_faltando"))
    faults = [
        tr("no day has been read whole") if days is None else "",
        tr("{n} days are not proved complete", n=number(days)) if days else "",
        tr("{n} records are rejected", n=number(rejected)) if rejected else "",
        tr("{n} lists are still to be read", n=number(lists)) if lists else "",
        tr("only what is in scope: {scope}", scope=mirror["escopo"]) if mirror["escopo"] else "",
        "" if mirror["busca_completa"] else tr("a search does not find all texts yet"),
    ]
    return tr(
        "the mirror is NOT complete for this: {faults}; {until}", faults=", ".join(filter(None, faults)), until=until
    )
