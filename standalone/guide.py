"""The guided five minutes of a demonstration: what to enter, in which order, and what it shows."""

from dataclasses import dataclass
from datetime import date

from standalone.language import tr


@dataclass(frozen=True)
class Step:
    """One step: its title, the commands for another terminal, and what is to be seen after them."""

    title: str
    commands: tuple[str, ...]
    seen: str


def steps_of(portal: str, receiver: str, first_day: date) -> list[Step]:
    """The steps, with the addresses of a running demonstration (`portal` without /api) and its first day."""
    control = f"{portal}/simulator/quirks"
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
            tr("{url}/ shows what has arrived. docs/delivery.md goes on from here.", url=receiver),
        ),
    ]


def guide_text(backend_url: str, portal: str, receiver: str, first_day: date) -> str:
    """The steps as a text for the terminal."""
    lines = [tr("Five minutes, in another terminal in this folder (the page is at {url}):", url=f"{backend_url}/")]
    for number, step in enumerate(steps_of(portal, receiver, first_day), 1):
        lines += [f"{number}. {step.title}", *(f"     {command}" for command in step.commands), f"   {step.seen}"]
    return "\n".join(lines)
