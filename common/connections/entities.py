"""Makes what a file of `entities/` declares."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path

from common.connections.files import ColumnFile, EntityFile
from common.connections.names import entity_name_fault
from common.connections.reading import read
from common.entities.declared import OF_KEYS, Declaration, DeclaredColumn
from common.entities.entity import CHANGED, KEY, SEEN
from common.mapping.problem import Problem, unknown

SHIPPED_FOLDER = Path(__file__).parents[1] / "entities" / "shipped"
RECONCILED = "compras"
"""The shipped entity that the reconciliation reads: a file of this name may add columns to it, and take none away."""


OF_LISTS = (KEY, SEEN, CHANGED)


def make_entity(name: str, written: EntityFile, names: Collection[str]) -> tuple[Declaration | None, list[Problem]]:
    """The entity, or what keeps it from being one. `names`: all entities that may be referred to."""
    problems = list(_problems(name, written, names))
    if problems:
        return None, problems
    return _declare(name, written, is_shipped=False), []


@cache
def shipped() -> Mapping[str, Declaration]:
    """The entities that come with the product, by name."""
    made = {}
    for path in sorted(SHIPPED_FOLDER.glob("*.yaml")):
        document, _ = read(path.read_bytes())
        written = EntityFile.model_validate(document.value)
        made[path.stem] = _declare(path.stem, written, is_shipped=True)
    return made


def _declare(name: str, written: EntityFile, *, is_shipped: bool) -> Declaration:
    columns = {
        each: DeclaredColumn(
            each,
            column.type,
            column.label or each,
            is_required=column.required,
            decimals=column.decimals,
            longest=column.max,
            references=column.references,
            values=tuple(column.values or ()),
        )
        for each, column in written.columns.items()
    }
    return Declaration(
        name,
        written.label or name,
        tuple(written.key),
        columns,
        tuple(written.search),
        written.view,
        written.version,
        is_shipped,
    )


def _problems(name: str, written: EntityFile, names: Collection[str]) -> Iterator[Problem]:
    fault = entity_name_fault(name)
    if fault:
        yield Problem((), fault)
    yield from _problems_of_key(written)
    for index, each in enumerate(written.search):
        column = written.columns.get(each)
        if column is None:
            yield Problem(("search", index), unknown("a coluna não está em columns:", each, written.columns))
        elif column.type != "text":
            yield Problem(("search", index), f"`{each}`: só se procura em colunas text")
    for each, column in written.columns.items():
        yield from _problems_of_column(each, column, written, names)
    if written.view is not None and written.version is None:
        yield Problem((), "falta `version`: a coluna da visão que diz quando a linha mudou, do tipo timestamptz")
    if written.view is None and written.version is not None:
        yield Problem(("version",), "`version` só existe com `view`")
    if name == RECONCILED:
        yield from _lacking(written)


def _problems_of_key(written: EntityFile) -> Iterator[Problem]:
    for index, each in enumerate(written.key):
        column = written.columns.get(each)
        if column is None:
            yield Problem(("key", index), unknown("a chave não está em columns:", each, written.columns))
        elif column.type not in OF_KEYS:
            yield Problem(("key", index), f"`{each}`: uma chave é {', '.join(OF_KEYS[:-1])} ou {OF_KEYS[-1]}")
    if len(set(written.key)) < len(written.key):
        yield Problem(("key",), "uma coluna está repetida na chave")


def _problems_of_column(
    name: str, column: ColumnFile, written: EntityFile, names: Collection[str]
) -> Iterator[Problem]:
    at = ("columns", name)
    if name in OF_LISTS:
        yield Problem(at, f"`{name}` é um campo que todas as listas têm; use outro nome")
    if column.decimals is not None and column.type != "number":
        yield Problem((*at, "decimals"), "`decimals` é de colunas number")
    if column.max is not None and column.type != "text":
        yield Problem((*at, "max"), "`max` é de colunas text")
    if column.values is not None and column.type != "text":
        yield Problem((*at, "values"), "`values` é de colunas text")
    if column.references is None:
        return
    if written.view is not None:
        yield Problem((*at, "references"), "uma visão não tem referências que o banco de dados garanta")
    elif column.references not in names:
        yield Problem((*at, "references"), unknown("não há a entidade", column.references, names))
    elif column.type not in OF_KEYS:
        yield Problem((*at, "references"), f"uma referência é {', '.join(OF_KEYS[:-1])} ou {OF_KEYS[-1]}")


def _lacking(written: EntityFile) -> Iterator[Problem]:
    """What a file takes away of the columns that the reconciliation reads."""
    known = shipped()[RECONCILED]
    if written.view is not None:
        yield Problem(("view",), "a conciliação lê registros que são recebidos, e não uma visão")
    for each in known.columns.values():
        column = written.columns.get(each.name)
        if column is None or column.type != each.type:
            yield Problem(("columns",), f"a conciliação precisa da coluna `{each.name}`, do tipo {each.type}")
    if tuple(written.key) != known.key:
        yield Problem(("key",), f"a conciliação precisa da chave {', '.join(known.key)}")
