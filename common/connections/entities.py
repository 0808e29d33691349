"""Makes what a file of `entities/` declares."""

from collections.abc import Iterator

from common.connections.files import EntityFile
from common.connections.names import entity_name_fault
from common.entities.delivered import Delivered, of_records, of_view
from common.mapping.problem import Problem, unknown
from common.resources.description import Kind

KINDS = {
    "text": Kind.TEXT,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
    "boolean": Kind.BOOLEAN,
    "day": Kind.DAY,
    "moment": Kind.MOMENT,
    "json": Kind.JSON,
}
_OF_KEYS = ("text", "integer")


def make_entity(name: str, written: EntityFile) -> tuple[Delivered | None, list[Problem]]:
    """The entity, or what keeps it from being one."""
    problems = list(_problems(name, written))
    if problems:
        return None, problems
    label = written.label or name
    columns = {each: (KINDS[column.type], column.label or each) for each, column in written.columns.items()}
    if written.view is None:
        return of_records(name, label, written.key, columns), []
    made = of_view(
        name, label, view=written.view, key_names=written.key, version=written.version or "", columns=columns
    )
    return made, []


def _problems(name: str, written: EntityFile) -> Iterator[Problem]:
    fault = entity_name_fault(name)
    if fault:
        yield Problem((), fault)
    for index, each in enumerate(written.key):
        column = written.columns.get(each)
        if column is None:
            yield Problem(("key", index), unknown("a chave não está em columns:", each, written.columns))
        elif column.type not in _OF_KEYS:
            yield Problem(("key", index), f"`{each}`: uma chave é text ou integer")
    if len(set(written.key)) < len(written.key):
        yield Problem(("key",), "uma coluna está repetida na chave")
    if written.view is not None and written.version is None:
        yield Problem((), "falta `version`: a coluna da visão que diz quando a linha mudou, do tipo timestamptz")
    if written.view is None and written.version is not None:
        yield Problem(("version",), "`version` só existe com `view`")
