"""One page in the database: what is written, what is left alone, and what two workers do to each other."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import text

from common.database import driver_of
from common.lifecycle import slices
from common.lifecycle.slices import Claim, PageCounts
from common.resources import RESOURCES
from common.resources.contratacoes import CONTRATACOES, ITENS
from common.resources.description import Resource
from ingestor.sources.pncp.records import parse_list, parse_record
from ingestor.sources.values import Batch, Bundle, Record, Rejected
from ingestor.store.batch import load_versions, store_page
from ingestor.store.lists import ITENS_AT_ONCE
from ingestor.store.progress import Progress, keep_earlier, load_progress
from ingestor.store.statements import statements_of
from simulator.records import encode_json
from simulator.world import World
from tests.integration.conftest import CLOSED_DAY, Database, piece
from tests.support import eventually

MORNING, NOON, EVENING = (f"{CLOSED_DAY}T{hour}:00:00" for hour in ("08", "12", "18"))


def bundle(world: World, key: str, *, itens: Iterable[bytes] | None = None, complete: bool = True) -> Bundle:
    """A record of the portal and its items, read as the ingestor reads them."""
    known = world.get(key)
    assert known is not None
    record = parse_record(CONTRATACOES, world.payload(known))
    assert isinstance(record, Record), record
    read = parse_list(ITENS, b"[" + b",".join(world.items(key) if itens is None else itens) + b"]", key)
    if not complete:
        read.rejected.append(Rejected(key, "for the test", "{}", "itens_contratacao"))
    return Bundle(record, read)


async def store(
    database: Database, claim: Claim, *bundles: Bundle, progress: Progress | None = None, **changes: Any
) -> PageCounts:
    """Store a page as the ingestor does: fenced, in one transaction, and remembered."""
    progress = progress or Progress(claim.reading)
    keys = frozenset(each.key for each in bundles)
    fields = {"number": 1, "total_registros": len(keys), "total_paginas": 1, "keys": keys, "processed": keys, **changes}
    async with database.engine.begin() as db:
        assert await slices.hold(db, claim)
        result, counts = await store_page(db, claim, Batch(CONTRATACOES, **fields, bundles=list(bundles)), progress)
    progress.add(result)
    return counts


async def stored(database: Database, key: str) -> Any:
    return await database.row("SELECT xmin, * FROM contratacoes WHERE numero_controle_pncp = :key", key=key)


async def numbers(database: Database, key: str) -> list[int]:
    rows = await database.rows(
        "SELECT numero_item FROM itens_contratacao WHERE numero_controle_pncp = :key ORDER BY 1", key=key
    )
    return [row.numero_item for row in rows]


@pytest.fixture
async def claim(database: Database) -> Claim:
    return await database.claimed()


# --- versions ---------------------------------------------------------------------------------------------------


async def test_new_records_are_inserted_with_their_items(database: Database, claim: Claim, world: World) -> None:
    keys = world.publish(5, at=CLOSED_DAY, modalidade=6)

    counts = await store(database, claim, *(bundle(world, key) for key in keys))

    itens = sum(len(world.items(key)) for key in keys)
    assert counts == PageCounts(processed=5, inserted=5, updated=0, rejected=0, itens=itens)
    assert set(await database.mirror()) == set(keys)


async def test_a_record_with_an_equal_version_is_not_touched(database: Database, claim: Claim, world: World) -> None:
    key = world.put(data_publicacao=MORNING, items=3)
    await store(database, claim, bundle(world, key))
    before = await stored(database, key)
    itens = await database.rows("SELECT xmin, * FROM itens_contratacao ORDER BY numero_item")

    counts = await store(database, claim, bundle(world, key))

    assert (counts.inserted, counts.updated, counts.itens) == (0, 0, 0)
    assert await stored(database, key) == before
    assert await database.rows("SELECT xmin, * FROM itens_contratacao ORDER BY numero_item") == itens


@pytest.mark.parametrize(
    ("header", "whole", "written"),
    [
        (NOON, EVENING, True),
        (EVENING, NOON, True),
        (EVENING, EVENING, True),
        (EVENING, MORNING, True),
        (MORNING, EVENING, True),
        (NOON, NOON, False),
        (MORNING, NOON, False),
        (NOON, MORNING, False),
        (MORNING, MORNING, False),
    ],
)
async def test_a_newer_version_is_written_and_an_older_one_never(
    database: Database, claim: Claim, world: World, header: str, whole: str, written: bool
) -> None:
    key = world.put(data_publicacao=MORNING, data_atualizacao=NOON, items=2, objetoCompra="first")
    await store(database, claim, bundle(world, key))
    before = await stored(database, key)
    world.put(
        numeroControlePNCP=key,
        data_atualizacao=header,
        data_atualizacao_global=whole,
        items=[{"descricao": "second"}, {"descricao": "second"}],
        objetoCompra="second",
    )

    counts = await store(database, claim, bundle(world, key))

    assert (counts.inserted, counts.updated, counts.itens) == (0, int(written), 2 * int(written))
    after = await stored(database, key)
    itens = await database.rows("SELECT DISTINCT descricao = 'second' FROM itens_contratacao")
    assert [row[0] for row in itens] == [written]
    if not written:
        assert after == before
        return
    assert (after.objeto_compra, after.payload["objetoCompra"]) == ("second", "second")
    assert (after.data_atualizacao.isoformat(), after.data_atualizacao_global.isoformat()) == (header, whole)
    assert after.created_at == before.created_at
    assert after.updated_at > before.updated_at


async def test_an_equal_version_whose_items_are_wanted_again_is_written_again(
    database: Database, claim: Claim, world: World
) -> None:
    key = world.put(data_publicacao=MORNING, items=2)
    await store(database, claim, bundle(world, key))
    await database.rows("UPDATE contratacoes SET itens_at = NULL")
    await database.rows("DELETE FROM itens_contratacao")
    async with database.engine.connect() as db:
        assert (await load_versions(db, CONTRATACOES, [key, "unknown"]))[key][1] is False

    counts = await store(database, claim, bundle(world, key))

    assert (counts.inserted, counts.updated, counts.itens) == (0, 1, 2)
    assert (await stored(database, key)).itens_at is not None
    async with database.engine.connect() as db:
        assert (await load_versions(db, CONTRATACOES, [key]))[key][1] is True


async def test_an_older_version_is_not_written_because_its_items_are_wanted(
    database: Database, claim: Claim, world: World
) -> None:
    key = world.put(data_publicacao=NOON, items=1, objetoCompra="newer")
    await store(database, claim, bundle(world, key))
    await database.rows("UPDATE contratacoes SET itens_at = NULL")
    world.put(numeroControlePNCP=key, data_atualizacao=MORNING, data_atualizacao_global=MORNING, objetoCompra="older")

    assert (await store(database, claim, bundle(world, key))).updated == 0
    row = await stored(database, key)
    assert (row.objeto_compra, row.itens_at) == ("newer", None)


# --- órgãos and units -------------------------------------------------------------------------------------------

ORGAO = {"cnpj": "11111111000111", "razaoSocial": "PREFEITURA", "poderId": "E", "esferaId": "M"}
UNIDADE = {
    "codigoUnidade": "7",
    "nomeUnidade": "COMPRAS",
    "ufSigla": "SP",
    "ufNome": "São Paulo",
    "municipioNome": "Santos",
    "codigoIbge": "3548500",
}


def of(world: World, stamp: str, **changes: Any) -> str:
    """A contratação of the same órgão and unit, as of a moment."""
    given = {"orgaoEntidade": ORGAO, "unidadeOrgao": UNIDADE, **changes}
    return world.put(data_publicacao=stamp, record=given)


async def test_the_newest_record_says_what_its_orgao_and_unit_are_called(
    database: Database, claim: Claim, world: World
) -> None:
    names: list[tuple[str, str]] = []
    for stamp, name in ((NOON, "second"), (MORNING, "first"), (EVENING, "third")):
        key = of(
            world,
            stamp,
            orgaoEntidade={**ORGAO, "razaoSocial": name},
            unidadeOrgao={**UNIDADE, "nomeUnidade": name},
        )
        await store(database, claim, bundle(world, key))
        row = await database.row("SELECT o.razao_social, u.nome_unidade FROM orgaos o JOIN unidades u USING (cnpj)")
        names.append(tuple(row))

    assert names == [("second", "second"), ("second", "second"), ("third", "third")]
    row = await database.row("SELECT * FROM orgaos")
    assert (row.cnpj, row.as_of.isoformat(), row.payload["razaoSocial"]) == (ORGAO["cnpj"], EVENING, "third")
    row = await database.row("SELECT * FROM unidades")
    assert (row.codigo_unidade, row.uf_sigla, row.as_of.isoformat()) == ("7", "SP", EVENING)


async def test_of_one_page_the_newest_record_counts_for_its_orgao(
    database: Database, claim: Claim, world: World
) -> None:
    keys = [
        of(world, stamp, orgaoEntidade={**ORGAO, "razaoSocial": stamp}, unidadeOrgao={**UNIDADE, "nomeUnidade": stamp})
        for stamp in (NOON, EVENING, MORNING)
    ]

    await store(database, claim, *(bundle(world, key) for key in keys))

    assert await database.value("SELECT razao_social FROM orgaos") == EVENING
    assert await database.value("SELECT nome_unidade FROM unidades") == EVENING


async def test_an_orgao_that_says_nothing_new_is_not_touched(database: Database, claim: Claim, world: World) -> None:
    await store(database, claim, bundle(world, of(world, MORNING)))
    before = [await database.row("SELECT xmin, * FROM orgaos"), await database.row("SELECT xmin, * FROM unidades")]

    await store(database, claim, bundle(world, of(world, EVENING)))

    assert [
        await database.row("SELECT xmin, * FROM orgaos"),
        await database.row("SELECT xmin, * FROM unidades"),
    ] == before


def named(world: World, stamp: str, name: str) -> str:
    return of(
        world,
        stamp,
        orgaoEntidade={**ORGAO, "razaoSocial": name},
        unidadeOrgao={**UNIDADE, "nomeUnidade": name},
    )


@pytest.mark.parametrize(
    "order", list(permutations([(-2, "new"), (-1, "old"), (0, "new")])), ids=lambda order: " ".join(map(str, order))
)
async def test_names_do_not_depend_on_the_order_in_which_days_are_read(
    database: Database, claim: Claim, world: World, order: tuple[tuple[int, str], ...]
) -> None:
    for days, name in order:
        stamp = f"{CLOSED_DAY + timedelta(days=days)}T10:00:00"
        await store(database, claim, bundle(world, named(world, stamp, name)))

    row = await database.row("SELECT o.razao_social, u.nome_unidade FROM orgaos o JOIN unidades u USING (cnpj)")
    assert tuple(row) == ("new", "new")


async def test_an_orgao_that_says_the_same_is_touched_once_a_day_and_does_not_change(
    database: Database, claim: Claim, world: World
) -> None:
    await store(database, claim, bundle(world, of(world, MORNING)))
    before = await database.row("SELECT * FROM orgaos")
    next_day = f"{CLOSED_DAY + timedelta(days=1)}"

    for hour in (9, 10, 8):
        await store(database, claim, bundle(world, of(world, f"{next_day}T{hour:02}:00:00")))

    after = await database.row("SELECT * FROM orgaos")
    assert after.as_of.isoformat() == f"{next_day}T09:00:00"
    assert (after.razao_social, after.updated_at) == (before.razao_social, before.updated_at)


async def test_an_orgao_without_a_name_keeps_the_one_that_is_known(
    database: Database, claim: Claim, world: World
) -> None:
    for stamp, name in ((MORNING, None), (NOON, "PREFEITURA"), (EVENING, " ")):
        orgao = {**ORGAO, "razaoSocial": name}
        await store(database, claim, bundle(world, of(world, stamp, orgaoEntidade=orgao)))

    assert await database.value("SELECT razao_social FROM orgaos") == "PREFEITURA"
    assert await database.value("SELECT is_partial FROM orgaos") is False


async def test_orgaos_and_units_that_take_over_are_known_too(database: Database, claim: Claim, world: World) -> None:
    other = {**ORGAO, "cnpj": "22222222000122", "razaoSocial": "CONSÓRCIO"}
    key = of(world, MORNING, orgaoSubRogado=other, unidadeSubRogada={**UNIDADE, "codigoUnidade": "9"})

    await store(database, claim, bundle(world, key))

    rows = await database.rows("SELECT o.cnpj, codigo_unidade FROM orgaos o JOIN unidades USING (cnpj) ORDER BY 1")
    assert [tuple(row) for row in rows] == [(ORGAO["cnpj"], "7"), (other["cnpj"], "9")]
    row = await stored(database, key)
    assert (row.orgao_sub_rogado_razao_social, row.unidade_sub_rogada_codigo_unidade) == ("CONSÓRCIO", "9")


# --- items ------------------------------------------------------------------------------------------------------


async def changed_items(database: Database, claim: Claim, world: World, *, now: list[int], complete: bool) -> str:
    """A record with items 1 to 4 that is read again, newer, with other items."""
    key = world.put(data_publicacao=MORNING, items=4)
    await store(database, claim, bundle(world, key))
    before = world.items(key)
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON)
    changed = [encode_json({**json.loads(before[0]), "numeroItem": number, "descricao": "new"}) for number in now]
    await store(database, claim, bundle(world, key, itens=changed, complete=complete))
    return key


@pytest.mark.parametrize(
    ("now", "complete", "expected"),
    [
        ([1, 2, 3, 4], True, [1, 2, 3, 4]),
        ([1, 3], True, [1, 3]),
        ([5, 6], True, [5, 6]),
        ([], True, [1, 2, 3, 4]),
        ([1, 3], False, [1, 2, 3, 4]),
        ([5], False, [1, 2, 3, 4, 5]),
    ],
    ids=["replaced", "some gone", "all others", "an empty answer", "one rejected", "one new, one rejected"],
)
async def test_items_are_replaced_and_go_only_by_a_whole_answer(
    database: Database, claim: Claim, world: World, now: list[int], complete: bool, expected: list[int]
) -> None:
    key = await changed_items(database, claim, world, now=now, complete=complete)

    assert await numbers(database, key) == expected
    rows = await database.rows("SELECT numero_item FROM itens_contratacao WHERE descricao = 'new' ORDER BY 1")
    assert [row.numero_item for row in rows] == now


async def test_only_items_that_differ_are_written(database: Database, claim: Claim, world: World) -> None:
    key = world.put(data_publicacao=MORNING, items=4)
    await store(database, claim, bundle(world, key))
    itens = list(world.items(key))
    itens[2] = encode_json({**json.loads(itens[2]), "descricao": "new"})
    world.put(numeroControlePNCP=key, data_atualizacao=NOON, data_atualizacao_global=NOON)

    assert (await store(database, claim, bundle(world, key, itens=itens))).itens == 1


async def test_the_items_of_other_records_are_left_alone(database: Database, claim: Claim, world: World) -> None:
    other = world.put(data_publicacao=MORNING, items=3)
    await store(database, claim, bundle(world, other))

    await changed_items(database, claim, world, now=[1], complete=True)

    assert await numbers(database, other) == [1, 2, 3]


# --- values -----------------------------------------------------------------------------------------------------


async def test_a_payload_is_the_record_as_it_came(database: Database, claim: Claim, world: World) -> None:
    key = world.put(
        data_publicacao=MORNING,
        record={
            "chaveNova": {"a": [1, 2.50, None, True, "ç ' \" \\ \u2028 🚀"], "b": {}},
            "valorTotalEstimado": Decimal("12345678901234.5678"),
            "outro": Decimal("0.1000000000000000055511151231257827"),
        },
    )
    known = world.get(key)
    assert known is not None

    await store(database, claim, bundle(world, key))

    text = await database.value("SELECT payload::text FROM contratacoes")
    expected = json.loads(world.payload(known), parse_float=Decimal)
    assert json.loads(text, parse_float=Decimal) == expected


@pytest.mark.parametrize("amount", ["0.0001", "1234.5678", "0.1", "99999999999999.9999", "-3.5", "0", "1e3"])
async def test_money_keeps_every_digit(database: Database, claim: Claim, world: World, amount: str) -> None:
    key = world.put(
        data_publicacao=MORNING,
        record={"valorTotalEstimado": Decimal(amount)},
        items=[{"valorUnitarioEstimado": Decimal(amount), "quantidade": Decimal(amount)}],
    )

    await store(database, claim, bundle(world, key))

    assert await database.value("SELECT valor_total_estimado FROM contratacoes") == Decimal(amount)
    row = await database.row("SELECT valor_unitario_estimado, quantidade FROM itens_contratacao")
    assert tuple(row) == (Decimal(amount), Decimal(amount))


# --- what is refused --------------------------------------------------------------------------------------------

REFUSED: dict[str, dict[str, Any]] = {
    "a number that jsonb cannot hold": {"chaveNova": Decimal("1e200000")},
    "one inside an object": {"orgaoEntidade": {"cnpj": "33333333000133", "novo": [Decimal("-1e200000")]}},
}


@pytest.mark.parametrize("record", REFUSED.values(), ids=REFUSED)
async def test_a_record_that_postgresql_itself_refuses_costs_no_other(
    database: Database, claim: Claim, world: World, record: dict[str, Any]
) -> None:
    good = world.publish(4, at=CLOSED_DAY, modalidade=6)
    cnpj = "33333333000133"
    bad = world.put(numeroControlePNCP=f"{cnpj}-1-000001/2025", data_publicacao=MORNING, record=record)
    progress = Progress(claim.reading)
    bundles = [bundle(world, key) for key in (*good[:2], bad, *good[2:])]

    counts = await store(database, claim, *bundles, progress=progress)

    assert set(await database.mirror()) == set(good)
    assert (counts.processed, counts.inserted, counts.rejected) == (4, 4, 1)
    assert counts.itens == await database.value("SELECT count(*) FROM itens_contratacao")
    row = await database.row("SELECT * FROM rejected_records")
    assert (row.natural_key, row.resource) == (bad, "contratacoes")
    assert row.reason
    assert parse_record(CONTRATACOES, row.payload.encode()) == bundles[2].record
    page = await database.row("SELECT keys, processed FROM sync_pages")
    assert (set(page.keys), set(page.processed)) == ({*good, bad}, set(good))
    assert set(progress.processed) == set(good)


async def test_a_rejected_record_is_counted_once_per_execution(database: Database, claim: Claim) -> None:
    rejected = [Rejected("k", "reason", '{"a": 1}', "contratacoes"), Rejected(None, "reason", "[]", "contratacoes")]

    first = await store(database, claim, rejected=rejected)
    again = await store(database, claim, rejected=[*rejected, Rejected("k", "reason", '{"a": 2}', "contratacoes")])
    other = await database.claimed()
    elsewhere = await store(database, other, rejected=rejected)

    assert (first.rejected, again.rejected, elsewhere.rejected) == (2, 1, 2)
    rows = await database.rows("SELECT execution_id, slice_id, times FROM rejected_records ORDER BY id")
    assert [tuple(row) for row in rows] == [
        (other.execution_id, other.slice_id, 2),
        (other.execution_id, other.slice_id, 2),
        (claim.execution_id, claim.slice_id, 1),
    ]


# --- the page itself --------------------------------------------------------------------------------------------


async def test_a_page_that_is_read_twice_keeps_the_keys_of_both(database: Database, claim: Claim) -> None:
    first = {"keys": frozenset("abc"), "processed": frozenset("ab"), "total_registros": 30, "total_paginas": 3}
    second = {"keys": frozenset("cd"), "processed": frozenset("d"), "total_registros": 31, "total_paginas": 4}
    await store(database, claim, **first)
    await store(database, claim, **second)

    row = await database.row("SELECT * FROM sync_pages")
    assert (sorted(row.keys), sorted(row.processed)) == (list("abcd"), list("abd"))
    assert (row.total_registros, row.total_paginas) == (31, 4)


async def test_what_is_processed_counts_once_over_pages_and_readings(database: Database, claim: Claim) -> None:
    progress = Progress(claim.reading)
    counted = []
    for number, processed in ((1, "abc"), (2, "cde"), (1, "abf")):
        page = {"keys": frozenset(processed), "processed": frozenset(processed), "number": number, "total_paginas": 2}
        counted.append((await store(database, claim, progress=progress, **page)).processed)
    progress.begin_anew()
    assert await database.run(slices.reread, claim)
    for processed in ("abc", "xyz"):
        page = {"keys": frozenset(processed), "processed": frozenset(processed), "total_paginas": 1}
        counted.append((await store(database, claim, progress=progress, **page)).processed)

    assert counted == [3, 2, 1, 0, 3]


async def test_progress_is_what_earlier_claims_have_committed(database: Database, claim: Claim) -> None:
    page = {"keys": frozenset("ab"), "processed": frozenset("a"), "total_registros": 9, "total_paginas": 3}
    progress = Progress(claim.reading)
    await store(database, claim, progress=progress, **page)
    progress.begin_anew()
    await database.run(slices.reread, claim)
    await database.run(keep_earlier, claim, progress)
    await database.run(slices.release, claim)
    again = await database.claim()
    for number, keys in ((1, "bc"), (3, "de")):
        page = {"number": number, "keys": frozenset(keys), "processed": frozenset(keys), "total_paginas": 4 - number}
        await store(database, again, progress=progress, total_registros=9, records=2, **page)

    async with database.engine.connect() as db:
        loaded = await load_progress(db, CONTRATACOES, again)

    assert loaded == progress
    assert (loaded.reading, loaded.pages, loaded.evidence.shown) == (2, {1, 3}, set("bcde"))
    assert (loaded.evidence.known, loaded.evidence.standing) == (set("ab"), set("abcde"))
    assert set(loaded.processed) == set("abcde")
    assert (loaded.total_paginas, loaded.first_records, loaded.evidence.promised) == (3, 2, 9)


async def test_of_however_many_readings_two_rows_stay(database: Database, claim: Claim) -> None:
    progress = Progress(claim.reading)
    for reading in range(5):
        for number in (1, 2):
            keys = frozenset({f"{reading}-{number}", "always"})
            total = 9 - reading  # it falls, so that what was shown before may have left the listing
            page = {"number": number, "keys": keys, "processed": keys, "total_registros": total}
            await store(database, claim, progress=progress, **page)
        progress.begin_anew()
        await database.run(slices.reread, claim)
        await database.run(keep_earlier, claim, progress)

        assert await database.value("SELECT count(*) FROM sync_pages") == 2
        async with database.engine.connect() as db:
            loaded = await load_progress(db, CONTRATACOES, replace(claim, reading=progress.reading))
        assert loaded == progress
        assert loaded.evidence.standing == {f"{reading}-1", f"{reading}-2", "always"}


async def test_a_page_that_shows_nothing_new_is_kept_as_a_number(database: Database, claim: Claim) -> None:
    progress = Progress(claim.reading)
    for number in (1, 7, 6):
        page = {"number": number, "keys": frozenset("ab"), "processed": frozenset("ab"), "total_registros": 99}
        await store(database, claim, progress=progress, records=2, **page)

    rows = await database.rows("SELECT page, keys, processed FROM sync_pages ORDER BY read_at")
    assert [tuple(row) for row in rows] == [(1, ["a", "b"], ["a", "b"]), (7, [], []), (6, [], [])]


# --- two workers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("renames", [True, False], ids=["with their órgãos", "records alone"])
async def test_two_workers_with_the_same_records_in_opposite_order_do_not_deadlock(
    database: Database, world: World, renames: bool
) -> None:
    keys = world.publish(40, at=CLOSED_DAY, modalidade=6)
    await database.planned([piece(modalidade=6), piece(modalidade=8)])
    claims = [await database.claim("one"), await database.claim("other")]
    for hour in range(10, 18):
        stamps = [f"{CLOSED_DAY}T{hour}:00:00", f"{CLOSED_DAY}T{hour}:30:00"]
        pages: list[list[Bundle]] = []
        for stamp in stamps:
            for key in keys:
                world.put(
                    numeroControlePNCP=key,
                    data_atualizacao=stamp,
                    data_atualizacao_global=stamp,
                    orgaoEntidade={"razaoSocial": stamp if renames else "PREFEITURA"},
                )
            pages.append([bundle(world, key) for key in keys])

        await asyncio.gather(store(database, claims[0], *pages[0]), store(database, claims[1], *reversed(pages[1])))

        assert (await database.row("SELECT DISTINCT data_atualizacao FROM contratacoes"))[0].isoformat() == stamps[1]
        name = await database.value("SELECT DISTINCT razao_social FROM orgaos")
        assert name == (stamps[1] if renames else "PREFEITURA")


async def test_of_two_workers_that_write_one_record_the_newer_version_stands(database: Database, world: World) -> None:
    key = world.put(data_publicacao=MORNING, items=3)
    newer, older = (
        bundle(
            world,
            world.put(
                numeroControlePNCP=key,
                data_atualizacao=stamp,
                data_atualizacao_global=stamp,
                orgaoEntidade={"razaoSocial": stamp},
                unidadeOrgao={"nomeUnidade": stamp},
            ),
        )
        for stamp in (EVENING, NOON)
    )
    await database.planned([piece(modalidade=6), piece(modalidade=8)])
    one, other = await database.claim("one"), await database.claim("other")
    async with database.engine.begin() as db:
        assert await slices.hold(db, one)
        page = Batch(CONTRATACOES, 1, 1, 1, frozenset({key}), frozenset({key}), [newer])
        await store_page(db, one, page, Progress(1))
        late = asyncio.create_task(store(database, other, older))
        await database.someone_waits_for_a_lock()

    assert (await late).updated == 0
    assert (await stored(database, key)).data_atualizacao.isoformat() == EVENING
    assert await database.value("SELECT razao_social FROM orgaos") == EVENING
    assert await database.value("SELECT nome_unidade FROM unidades") == EVENING


async def test_a_page_that_is_rolled_back_leaves_nothing(database: Database, claim: Claim, world: World) -> None:
    key = world.put(data_publicacao=MORNING, items=3)
    async with database.engine.connect() as db:
        assert await slices.hold(db, claim)
        page = Batch(CONTRATACOES, 1, 1, 1, frozenset({key}), frozenset({key}), [bundle(world, key)])
        await store_page(db, claim, page, Progress(1))
        await db.rollback()

    for table in ("contratacoes", "itens_contratacao", "orgaos", "unidades", "sync_pages"):
        assert await database.value(f"SELECT count(*) FROM {table}") == 0


async def test_a_process_that_is_frozen_while_it_sends_a_page_loses_its_slice(database: Database, claim: Claim) -> None:
    """Within the time that a transaction may be idle; of a COPY, the server would wait for the rest without a limit."""
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE pid = :pid"
    async with database.engine.connect() as db:
        await db.execute(text("SET LOCAL idle_in_transaction_session_timeout = 200"))
        assert await slices.hold(db, claim)
        driver: Any = (await db.get_raw_connection()).driver_connection
        pid = driver.get_server_pid()
        driver._transport.write(b"B" + (1_000_000).to_bytes(4, "big") + b"the beginning of a page")

        async def is_gone() -> bool:
            return await database.value(sessions, pid=pid) == 0

        await eventually(is_gone)
        async with database.engine.begin() as other:
            assert await slices.hold(other, claim)
        await db.invalidate()


async def test_a_contratacao_with_thousands_of_items_is_written_whole(
    database: Database, claim: Claim, world: World
) -> None:
    most = ITENS_AT_ONCE + 10
    keys = [world.put(data_publicacao=MORNING, items=count) for count in (1, most, 2)]
    counts = await store(database, claim, *(bundle(world, key) for key in keys))
    assert counts.itens == most + 3
    assert [len(await numbers(database, key)) for key in keys] == [1, most, 2]


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.name)
async def test_a_merge_is_planned_once_for_a_connection_however_long_it_is(
    database: Database, resource: Resource
) -> None:
    statement = statements_of(resource).merge
    async with database.engine.begin() as db:
        driver = await driver_of(db)
        for _ in range(2):
            await driver.fetch(statement, [], [], [], [], [], [], b"")
        held = await driver.fetch(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement = $1", statement
        )
    assert [row[0] for row in held] == [2]
