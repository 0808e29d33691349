"""Compiles the conditions of `where` to SQL with parameters: which records of an entity a destination receives."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from common.connections.settings import Conditions
from common.connections.typed import typed
from common.entities.delivered import Delivered, DeliveredColumn
from common.mapping.problem import At, Problem, unknown
from common.mapping.templates import DATES, KIND_NAMES, NUMBERS, TEXTS
from common.resources.description import Kind

ANY_ITEM = "any_item"
OPERATORS = ("in", "equals", "at_least", "at_most", "from", "to", "is_null", "contains_any")
MOST_VALUES = 10_000
"""Of one condition."""
_WILD = re.compile(r"([\\%_])")
_CASTS = {
    Kind.TEXT: "text",
    Kind.SHORT_TEXT: "text",
    Kind.INTEGER: "bigint",
    Kind.LONG: "bigint",
    Kind.CODE: "bigint",
    Kind.NUMBER: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DAY: "date",
    Kind.MOMENT: "timestamp",
    Kind.STAMP: "timestamp",
}


def compile_conditions(where: Mapping[str, Any], entity: Delivered, at: At) -> Conditions:
    """Compile conditions, all of which a record must meet.

    Raises:
        Problem: an unknown column or operator, or a value that the column cannot have.

    """
    compiler = _Compiler()
    parts = []
    for name, condition in where.items():
        if name == ANY_ITEM:
            parts.append(compiler.any_item(condition, entity, (*at, name)))
        else:
            parts.append(compiler.of_column(name, condition, entity.columns, (*at, name)))
    return Conditions(" AND ".join(parts), tuple(compiler.values))


class _Compiler:
    """Collects the values of parameters while SQL is made."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def any_item(self, where: Any, entity: Delivered, at: At) -> str:
        """At least one entry of the record's first list meets all conditions."""
        if entity.items is None:
            raise Problem(at, f"`{entity.name}` não tem lista de itens")
        if not isinstance(where, dict) or not where:
            raise Problem(at, "esperava condições por coluna do item")
        parts = [self.of_column(name, each, entity.items.columns, (*at, name)) for name, each in where.items()]
        inside = " AND ".join((entity.items.condition, *parts))
        return f"EXISTS (SELECT FROM {entity.items.source} WHERE {inside})"  # names of descriptions

    def of_column(self, name: str, condition: Any, columns: Mapping[str, DeliveredColumn], at: At) -> str:
        """All conditions on one column; a value alone is one that it must have."""
        column = columns.get(name)
        if column is None:
            raise Problem(at, unknown("coluna desconhecida", name, columns))
        if column.kind is Kind.JSON:
            raise Problem(at, f"`{name}` é JSON e não pode ser condição")
        asked = condition if isinstance(condition, dict) else {"equals": condition}
        if not asked:
            raise Problem(at, f"esperava uma condição de {', '.join(OPERATORS)}")
        return " AND ".join(
            self._operator(operator, value, column, (*at, operator)) for operator, value in asked.items()
        )

    def _operator(self, operator: str, value: Any, column: DeliveredColumn, at: At) -> str:
        sql = column.sql.replace("{", "{{").replace("}", "}}")
        match operator:
            case "in":
                return f"{sql} = ANY({self._many(value, column, at)})"
            case "equals":
                return f"{sql} = {self._one(value, column, at)}"
            case "at_least" | "at_most":
                _check_kind(operator, column, NUMBERS, at)
                return f"{sql} {'>=' if operator == 'at_least' else '<='} {self._one(value, column, at)}"
            case "from" | "to":
                _check_kind(operator, column, DATES, at)
                return self._bound(operator, value, column, sql, at)
            case "is_null":
                if not isinstance(value, bool):
                    raise Problem(at, "esperava true ou false")
                return f"{sql} IS {'' if value else 'NOT '}NULL"
            case "contains_any":
                _check_kind(operator, column, TEXTS, at)
                return f"lower(unaccent({sql})) LIKE ANY({self._patterns(value, at)})"
        raise Problem(at, unknown("condição desconhecida", operator, OPERATORS))

    def _one(self, value: Any, column: DeliveredColumn, at: At) -> str:
        return self._parameter(typed(value, column.kind, at), _CASTS[column.kind])

    def _many(self, value: Any, column: DeliveredColumn, at: At) -> str:
        entries = [typed(each, column.kind, (*at, index)) for index, each in enumerate(_list(value, at))]
        return self._parameter(entries, f"{_CASTS[column.kind]}[]")

    def _bound(self, operator: str, value: Any, column: DeliveredColumn, sql: str, at: At) -> str:
        """From a day or moment, or to the end of one."""
        if operator == "to" and column.kind is not Kind.DAY and type(value) is date:
            if value == date.max:
                raise Problem(at, f"o último dia possível é {date.max - timedelta(days=1)}")
            after = datetime.combine(value, time.min) + timedelta(days=1)
            return f"{sql} < {self._parameter(after, 'timestamp')}"
        return f"{sql} {'>=' if operator == 'from' else '<='} {self._one(value, column, at)}"

    def _patterns(self, value: Any, at: At) -> str:
        patterns = []
        for index, each in enumerate(_list(value, at)):
            if not isinstance(each, str) or not each.strip() or "\0" in each:
                raise Problem((*at, index), "esperava um texto; coloque entre aspas")
            escaped = _WILD.sub(r"\\\1", " ".join(each.split()))
            patterns.append(f"%{escaped}%")
        patterns_sql = self._parameter(patterns, "text[]")
        return f"ARRAY(SELECT lower(unaccent(p)) FROM unnest({patterns_sql}) p)"  # noqa: S608  # a parameter

    def _parameter(self, value: Any, kind: str) -> str:
        self.values.append(value)
        return f"CAST({{{len(self.values) - 1}}} AS {kind})"


def _list(value: Any, at: At) -> Sequence[Any]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_VALUES:
        raise Problem(at, f"esperava uma lista de 1 a {MOST_VALUES} valores")
    return value


def _check_kind(operator: str, column: DeliveredColumn, kinds: Sequence[Kind], at: At) -> None:
    if column.kind not in kinds:
        raise Problem(at, f"`{operator}` não serve para `{column.name}`, que é {KIND_NAMES[column.kind]}")
