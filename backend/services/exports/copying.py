"""The rows of a question as CSV, by one COPY: the server writes the file, and this process passes bytes on."""

import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, BinaryIO

import asyncpg

from backend.services.entities.question import Question, refuse
from backend.services.entities.rows import ordered
from common.entities.entity import Field
from common.resources.description import Kind

# ruff: noqa: S608  # names in these statements stand in descriptions, and values are parameters

Output = os.PathLike[str] | BinaryIO | Callable[[bytes], Coroutine[Any, Any, None]]


def with_file_fields(question: Question) -> Question:
    """The question with the fields that files have where none are named: all but JSON."""
    fields = tuple(each for each in question.entity.fields.values() if each.kind is not Kind.JSON)
    return replace(question, fields=fields)


def check_fields(question: Question) -> None:
    """Refuse fields that a file cannot show this reader.

    Raises:
        RequestValidationError: JSON with personal data, in which SQL masks nothing.

    """
    if question.sees_all:
        return
    refused = [each.name for each in question.fields if each.is_personal and each.kind is Kind.JSON]
    if refused:
        why = "que pode ter CPFs: em arquivos só vai com dados_pessoais=true, que é de administradores"
        refuse("campos", f"tem {', '.join(refused)}, {why}")


async def count_rows(driver: "asyncpg.Connection[Any]", question: Question, *, most: int) -> int:
    """How many rows there are, counted up to `most` and one more."""
    where = question.where()
    rows = f"SELECT FROM {question.entity.source}{where.sql} LIMIT {most + 1}"
    return int(await driver.fetchval(f"SELECT count(*) FROM ({rows}) AS counted", *where.values))


async def copy_csv(
    driver: "asyncpg.Connection[Any]", question: Question, output: Output, *, limit: int | None = None
) -> int:
    """Write all rows of a question, or the first `limit`, as CSV with a head of the fields' names; how many there were.

    It is UTF-8, in the question's order; rows without a value in that order come last. Null is empty, and an empty text
    is `""`. `output`: a path, a binary file, or what takes each part. `check_fields` comes first.

    The number of a natural person is masked in SQL unless the question sees all. The connection is one of
    `create_engine`; if it is in a transaction, that is the rows' snapshot. It is closed after any error.
    """
    where = question.where()
    columns = ", ".join(f"{_shown(question, each)} AS {each.name}" for each in question.fields)
    statement = f"SELECT {columns} FROM {question.entity.source}{where.sql} ORDER BY {_order(question)}"
    if limit is not None:
        statement += f" LIMIT {limit}"
    # COPY takes no parameters: the driver has the server quote each value, by the type that the statement gives it
    try:
        status = await driver.copy_from_query(
            statement, *where.values, output=output, format="csv", header=True, encoding="utf8"
        )
    except BaseException:
        driver.terminate()  # after a COPY that was broken off, the driver may wait for ever
        raise
    return int(status.removeprefix("COPY "))


def _shown(question: Question, field: Field) -> str:
    if field.is_personal and not question.sees_all:
        person = question.entity.fields[field.person].sql if field.person else "NULL"
        return f"mask_personal({field.sql}, {person})"
    if field.is_free and not question.sees_all:
        return f"mask_personal({field.sql}, 'PJ')"  # by check digits alone
    if field.kind is Kind.BOOLEAN:
        return f"CAST({field.sql} AS text)"  # true and false; COPY writes t and f
    return field.sql


def _order(question: Question) -> str:
    rows = ordered(question.order, question.entity.key)
    return rows if question.order.is_required else f"{question.order.sql} IS NULL, {rows}"
