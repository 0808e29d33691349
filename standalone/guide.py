"""The guided ten minutes of a demonstration: what to enter, in which order, and what it shows."""

import shlex
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from standalone import purchases
from standalone.cli import ROOT
from standalone.courier import INBOX_NAME
from standalone.language import tr


@dataclass(frozen=True)
class Addresses:
    """Of the services of a demonstration; `portal` is without /api."""

    backend: str
    portal: str
    receiver: str


@dataclass(frozen=True)
class Step:
    """One step: its title, the commands for another terminal, and what is to be seen after them."""

    title: str
    commands: tuple[str, ...]
    seen: str


def steps_of(addresses: Addresses, folder: Path, first_day: date) -> list[Step]:
    """The steps, with the addresses of a running demonstration, its folder and its first day."""
    return [*_steps_of_mirror(addresses, first_day), *_steps_of_intake(addresses, folder)]


def _steps_of_mirror(addresses: Addresses, first_day: date) -> list[Step]:
    control = f"{addresses.portal}/simulator/quirks"
    return [
        Step(
            tr("Ask for the verdict"),
            ("./pncp verdict",),
            tr("One day of contratações has failed, and the verdict says what to enter (its exit code is 1)."),
        ),
        Step(
            tr("Repair the day, and keep all days"),
            (
                "./pncp retry-failed",
                f"./pncp goals set contratacoes {first_day}",
                f"./pncp coverage --from {first_day}",
            ),
            tr("After some seconds every closed day is complete."),
        ),
        Step(
            tr("Watch an update bring new records"),
            ("./pncp sync --update --watch", "./pncp history --limit 6"),
            tr("The portal publishes some records a minute; an update that starts each minute by itself brings them."),
        ),
        Step(
            tr("See a record change"),
            ("./pncp changes --kind alterado",),
            tr("Which records have changed, when, and in which fields."),
        ),
        Step(
            tr("Make the portal fail for a minute"),
            (f"curl -X PUT {control} -d '{{\"503\": 1}}'", "./pncp verdict", f"curl -X DELETE {control}"),
            tr("Within a minute the verdict says that the portal fails; after the last command it recovers by itself."),
        ),
        Step(
            tr("Export to Excel"),
            ("./pncp export contratacoes -o contratacoes.xlsx",),
            tr("The file opens in Excel; the last line says whether the mirror is complete for it."),
        ),
        Step(
            tr("Deliver to another system"),
            ("./pncp deliveries", "./pncp deliver crm --watch"),
            tr("{url}/ shows what has arrived. docs/delivery.md goes on from here.", url=addresses.receiver),
        ),
    ]


def _steps_of_intake(addresses: Addresses, folder: Path) -> list[Step]:
    def place(*names: str) -> str:
        path = folder.joinpath(*names)
        return shlex.quote(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path))

    pushed = f"{addresses.backend}/intake/vendas -H 'Content-Type: application/json' -d @{place(purchases.RECORDS)}"
    return [
        Step(
            tr("Take a sheet in"),
            (f"cp {place(purchases.SHEET)} {place(INBOX_NAME, 'vendas')}/", "./pncp imports"),
            tr("Within 15 s its rows are customers, products and purchases; the page shows them under Cadastros."),
        ),
        Step(
            tr("Push the same rows as JSON"),
            (f"curl -s {pushed}", "./pncp imports"),
            tr("Nothing is there twice: all rows are unchanged. With authentication it takes a client's token."),
        ),
        Step(
            tr("Break a row"),
            (f"./pncp import {place(purchases.SHEET_WITH_FAULTS)} --layout vendas --yes",),
            tr("Three cells are wrong; the reasons stand in a .erros.csv beside the sheet (the exit code is 3)."),
        ),
        Step(
            tr("Read another system's database"),
            ("./pncp sources", "./pncp read erp --watch"),
            tr("The purchases of an ERP, which is a file of SQLite here; docs/sources.md tells of others."),
        ),
        Step(
            tr("Compare one's own purchases with the portal"),
            (
                "./pncp export conciliacao --situacao nao_encontrada,valor_difere,fora_do_prazo -o conciliacao.pdf",
                "./pncp export conciliacao -o conciliacao.xlsx",
            ),
            tr(
                "{url} shows it, too. docs/intake.md lists the differences that were planted.",
                url=f"{addresses.backend}/#/conciliacao",
            ),
        ),
    ]


def guide_text(addresses: Addresses, folder: Path, first_day: date) -> str:
    """The steps as a text for the terminal."""
    lines = [tr("Ten minutes, in another terminal in this folder (the page is at {url}):", url=f"{addresses.backend}/")]
    for number, step in enumerate(steps_of(addresses, folder, first_day), 1):
        lines += [f"{number}. {step.title}", *(f"     {command}" for command in step.commands), f"   {step.seen}"]
    return "\n".join(lines)
