"""`python -m ingestor verify` and `rejected`: what they find, print and exit with."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from datetime import datetime

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from common.lifecycle import DEFAULT_RESOURCE, admission
from common.resources import RESOURCE_NAMES
from ingestor.commands import parse_words
from simulator import Quirks, generate, serve
from simulator.app import Simulator
from tests.support import ROOT, eventually

DAY = datetime(2025, 1, 10)


@pytest.fixture
async def portal() -> AsyncIterator[Simulator]:
    """A portal of one day with a few dozen contratações."""
    async with serve(generate(3, DAY.date(), DAY.date(), 40), Quirks()) as simulator:
        yield simulator


async def run(*arguments: str, portal: Simulator, database_url: str) -> tuple[int, str, str]:
    """Run `python -m ingestor ARGUMENTS` to its end; answers exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingestor",
        *arguments,
        cwd=ROOT,
        env=settings(portal, database_url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def settings(portal: Simulator, database_url: str) -> dict[str, str]:
    ours = {
        "DATABASE_URL": database_url,
        "PNCP_BASE_URL": portal.base_url,
        "PNCP_REQUESTS_PER_SECOND": "0",
        "PNCP_REQUESTS_IN_FLIGHT": "0",
        "PNCP_PAUSE_SECONDS": "0.5",
        "PNCP_RETRY_WAIT_MAX": "0",
        "PNCP_MODALIDADES": "1-13",
    }
    return {key: value for key, value in os.environ.items() if key != "RABBITMQ_URL"} | ours


async def mirror(engine: AsyncEngine, portal: Simulator, database_url: str, resource: str = DEFAULT_RESOURCE) -> None:
    """Let an ingestor take the day in."""
    async with engine.begin() as db:
        end = DAY.replace(hour=23, minute=59, second=59)
        await admission.create(db, mode="backfill", window_start=DAY, window_end=end, trigger="api", resource=resource)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingestor",
        cwd=ROOT,
        env=settings(portal, database_url),
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def finished() -> bool:
        async with engine.connect() as db:
            statuses = (await db.execute(text("SELECT DISTINCT status FROM sync_executions"))).scalars().all()
            return statuses == ["success"]

    try:
        await eventually(finished, seconds=30)
    finally:
        process.terminate()
        await process.wait()


async def test_verify_finds_what_is_missing_and_nothing_once_it_is_there(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    span = ("verify", "--from", "2025-01-10", "--to", "2025-01-10")

    code, before, _ = await run(*span, portal=portal, database_url=database_url)
    await mirror(engine, portal, database_url)
    agreed, after, _ = await run(*span, portal=portal, database_url=database_url)
    async with engine.begin() as db:
        gone = (
            "DELETE FROM contratacoes WHERE numero_controle_pncp = (SELECT min(numero_controle_pncp) FROM contratacoes)"
        )
        await db.execute(text(gone))
    again, lost, _ = await run(*span, portal=portal, database_url=database_url)

    assert (code, agreed, again) == (1, 0, 1)
    assert before.splitlines()[-1] == f"13 listings compared, {len(portal.world)} records missing, 0 rejected"
    assert after.splitlines()[1:] == ["13 listings compared, 0 records missing, 0 rejected"]
    assert lost.splitlines()[-1] == "13 listings compared, 1 records missing, 0 rejected"
    assert len(lost.splitlines()) == 4
    assert lost.splitlines()[2].startswith("  missing ")


async def test_a_portal_that_does_not_answer_is_one_line(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    portal.quirks.add("401")
    command = ("verify", "--from", "2025-01-10", "--to", "2025-01-10")
    code, _, err = await run(*command, portal=portal, database_url=database_url)
    assert code == 1
    assert "Traceback" not in err
    assert "verify: the portal does not answer" in err


async def test_dates_that_are_none_are_refused_with_the_usage(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    command = ("verify", "--from", "10/01/2025", "--to", "2025-01-10")
    code, _, err = await run(*command, portal=portal, database_url=database_url)
    assert code == 2
    assert "usage: python -m ingestor verify" in err


async def test_a_rejected_contratacao_is_listed_and_stored_by_a_version_that_can(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    key = portal.world.put(
        data_publicacao="2025-01-10T12:00:00", modalidade=6, items=12, dataAtualizacaoGlobal="talvez"
    )
    await mirror(engine, portal, database_url)

    listed, text_listed, _ = await run("rejected", portal=portal, database_url=database_url)
    still, _, _ = await run("rejected", "--retry", portal=portal, database_url=database_url)
    async with engine.begin() as db:  # stands in for the upgrade: the payload is one that this version can store
        fixed = "UPDATE rejected_records SET payload = replace(payload, '\"talvez\"', '\"2025-01-10T12:00:00\"')"
        await db.execute(text(fixed))
    retried, _, _ = await run("rejected", "--retry", portal=portal, database_url=database_url)

    assert (listed, still, retried) == (1, 1, 0)
    assert key in text_listed
    assert "dataAtualizacaoGlobal" in text_listed
    async with engine.connect() as db:
        itens = await db.execute(
            text("SELECT count(*) FROM itens_contratacao WHERE numero_controle_pncp = :key"), {"key": key}
        )
        assert itens.scalar_one() == 12
        assert (
            await db.execute(text("SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL"))
        ).scalar_one() == 0


async def test_a_rejected_item_is_stored_once_the_portal_has_mended_it(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    items = [{"numeroItem": 1, "descricao": "a"}, {"numeroItem": "muitos", "descricao": "b"}]
    key = portal.world.put(data_publicacao="2025-01-10T12:00:00", modalidade=6, items=items)
    await mirror(engine, portal, database_url)
    code, listed, _ = await run("rejected", portal=portal, database_url=database_url)
    portal.world.put(numeroControlePNCP=key, items=[items[0], {**items[1], "numeroItem": 2, "quantidade": 3}])
    async with engine.begin() as db:
        await db.execute(text("UPDATE rejected_records SET payload = replace(payload, '\"muitos\"', '2')"))

    retried, _, _ = await run("rejected", "--retry", portal=portal, database_url=database_url)

    assert (code, retried) == (1, 0)
    assert f"itens_contratacao {key}" in listed
    async with engine.connect() as db:
        rows = await db.execute(
            text("SELECT numero_item, quantidade FROM itens_contratacao WHERE numero_controle_pncp = :key ORDER BY 1"),
            {"key": key},
        )
        assert [(row[0], row[1]) for row in rows][1] == (2, 3)


SPAN = ("--from", "2025-01-10", "--to", "2025-01-10", "--modalidades", "6")


async def test_verify_compares_keys_and_not_counts(engine: AsyncEngine, portal: Simulator, database_url: str) -> None:
    await mirror(engine, portal, database_url)
    async with engine.begin() as db:  # one too few and one too many make no right count
        gone, *_ = (
            await db.execute(
                text("""
                    DELETE FROM contratacoes WHERE numero_controle_pncp =
                           (SELECT max(numero_controle_pncp) FROM contratacoes WHERE modalidade_id = 6)
                    RETURNING numero_controle_pncp
                """)
            )
        ).one()
        await db.execute(
            text("""
                INSERT INTO contratacoes (numero_controle_pncp, data_publicacao_pncp, data_atualizacao,
                                          data_atualizacao_global, modalidade_id, payload, itens_at)
                VALUES ('00000000000000-1-000001/2025', :day, :day, :day, 6, '{}', now())
            """),
            {"day": DAY},
        )

    code, told, _ = await run("verify", *SPAN, portal=portal, database_url=database_url)

    assert code == 1
    assert told.splitlines()[2:] == [f"  missing {gone}", "1 listings compared, 1 records missing, 0 rejected"]


async def test_verify_lists_what_is_rejected_and_ends_with_1(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    key = portal.world.put(data_publicacao="2025-01-10T12:00:00", modalidade=6, dataAtualizacaoGlobal="talvez")
    await mirror(engine, portal, database_url)

    code, told, _ = await run("verify", *SPAN, portal=portal, database_url=database_url)
    portal.world.put(numeroControlePNCP=key, dataAtualizacaoGlobal="2025-01-10T13:00:00")
    again, _, _ = await run("verify", *SPAN, portal=portal, database_url=database_url)
    await mirror(engine, portal, database_url)
    mended, last, _ = await run("verify", *SPAN, portal=portal, database_url=database_url)
    listed, _, _ = await run("rejected", portal=portal, database_url=database_url)

    assert (code, again, mended, listed) == (1, 1, 0, 0)
    assert told.splitlines()[2].startswith(f"  rejected {key}: ")
    assert "dataAtualizacaoGlobal" in told.splitlines()[2]
    assert last.splitlines()[-1] == "1 listings compared, 0 records missing, 0 rejected"


async def test_verify_finds_items_that_are_missing_and_itens_tells_why(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    key = portal.world.put(data_publicacao="2025-01-10T12:00:00", modalidade=6, items=5)
    rule = portal.quirks.add("403", match={"key": key, "path": "itens"})
    await mirror(engine, portal, database_url)
    portal.quirks.rules.remove(rule)

    code, told, _ = await run("verify", "--itens", *SPAN, portal=portal, database_url=database_url)
    owed, listed, _ = await run("itens", portal=portal, database_url=database_url)
    retried, again, _ = await run("itens", "--retry", portal=portal, database_url=database_url)
    async with engine.connect() as db:
        due = await db.execute(text("SELECT due_at <= now() AND tries = 0 FROM itens_owed"))
        assert due.scalar_one()

    assert (code, owed, retried) == (1, 1, 1)
    assert told.splitlines()[2:] == [
        f"  items of {key}: the portal has 5; 0 stored, 0 rejected",
        "1 listings compared, 0 records missing, 0 rejected",
        "5 items missing of 1 contratações, 0 whose number is not told",
    ]
    assert f"{key} unread since" in listed
    assert "status 403" in listed
    assert listed.splitlines()[-1] == "the items of 1 contratações are owed"
    assert again.splitlines()[0] == "1 contratações are tried again now"


async def test_verify_finds_no_item_missing_where_all_came(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    await mirror(engine, portal, database_url)

    code, told, _ = await run("verify", "--itens", *SPAN, portal=portal, database_url=database_url)

    assert code == 0
    assert told.splitlines()[-1] == "0 items missing of 0 contratações, 0 whose number is not told"


async def test_items_that_were_down_for_a_whole_execution_come_without_anybody_asking(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    rule = portal.quirks.add("items_down")
    await mirror(engine, portal, database_url)
    missing, told, _ = await run("itens", portal=portal, database_url=database_url)
    portal.quirks.rules.remove(rule)
    async with engine.begin() as db:  # stands in for the minutes that pass
        await db.execute(text("UPDATE itens_owed SET due_at = now()"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ingestor",
        cwd=ROOT,
        env=settings(portal, database_url),
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def nothing_is_owed() -> bool:
        async with engine.connect() as db:
            return not (await db.execute(text("SELECT count(*) FROM itens_owed"))).scalar_one()

    try:
        await eventually(nothing_is_owed, seconds=30)
    finally:
        process.terminate()
        await process.wait()
    span = ("--from", "2025-01-10", "--to", "2025-01-10")
    code, verified, _ = await run("verify", "--itens", *span, portal=portal, database_url=database_url)

    assert missing == 1
    assert told.splitlines()[-1] == f"the items of {len(portal.world)} contratações are owed"
    assert code == 0
    assert verified.splitlines()[-2:] == [
        "13 listings compared, 0 records missing, 0 rejected",
        "0 items missing of 0 contratações, 0 whose number is not told",
    ]


async def test_a_rejected_record_whose_items_do_not_come_is_stored_and_they_are_owed(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    key = portal.world.put(data_publicacao="2025-01-10T12:00:00", modalidade=6, items=2, dataAtualizacaoGlobal="x")
    await mirror(engine, portal, database_url)
    async with engine.begin() as db:
        fixed = "UPDATE rejected_records SET payload = replace(payload, '\"x\"', '\"2025-01-10T12:00:00\"')"
        await db.execute(text(fixed))
    portal.quirks.add("403", match={"key": key, "path": "itens"})

    code, _, _ = await run("rejected", "--retry", portal=portal, database_url=database_url)

    assert code == 0
    async with engine.connect() as db:
        owed = await db.execute(text("SELECT numero_controle_pncp, reason FROM itens_owed"))
        assert [tuple(row) for row in owed] == [(key, "unread")]


# --- contratos --------------------------------------------------------------------------------------------------

CONTRATOS = ("verify", "--resource", "contratos", "--from", "2025-01-10", "--to", "2025-01-10")


def day_of_contratos(portal: Simulator) -> list[str]:
    """The keys of the day's contratos: more than fit on one page."""
    portal.world.publish(510, at=DAY.date(), resource="contratos")
    return sorted(record.numero_controle_pncp for record in portal.world.contratos.records.values())


async def test_verify_compares_contratos_day_by_day(engine: AsyncEngine, portal: Simulator, database_url: str) -> None:
    keys = day_of_contratos(portal)
    code, before, _ = await run(*CONTRATOS, portal=portal, database_url=database_url)
    await mirror(engine, portal, database_url, "contratos")
    agreed, after, _ = await run(*CONTRATOS, "--all", portal=portal, database_url=database_url)
    async with engine.begin() as db:
        await db.execute(text("DELETE FROM contratos WHERE numero_controle_pncp = :key"), {"key": keys[0]})
    again, lost, _ = await run(*CONTRATOS, portal=portal, database_url=database_url)

    assert (code, agreed, again) == (1, 0, 1)
    assert before.splitlines()[-1] == f"1 listings compared, {len(keys)} records missing, 0 rejected"
    heads, row, total = after.splitlines()
    assert heads.split() == ["day", "portal", "stored", "rejected", "missing"]
    assert row.split() == ["2025-01-10", str(len(keys)), str(len(keys)), "0", "0"]
    assert total == "1 listings compared, 0 records missing, 0 rejected"
    assert lost.splitlines()[2:] == [f"  missing {keys[0]}", "1 listings compared, 1 records missing, 0 rejected"]


async def test_verify_reads_a_listing_that_repeats_rows(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    portal.world.publish(130, at=DAY.date(), resource="instrumentos_cobranca")
    count = len(portal.world.store("instrumentos_cobranca").records)
    portal.quirks.update({"listed_twice": 0.5})
    span = ("verify", "--resource", "instrumentos_cobranca", "--from", "2025-01-10", "--to", "2025-01-10")

    code, told, _ = await run(*span, portal=portal, database_url=database_url)

    assert code == 1
    assert told.splitlines()[-1] == f"1 listings compared, {count} records missing, 0 rejected"


async def test_a_rejected_contrato_is_listed_and_stored_by_a_version_that_can(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    key = day_of_contratos(portal)[0]
    portal.world.put(resource="contratos", numeroControlePNCP=key, dataAtualizacaoGlobal="talvez")
    await mirror(engine, portal, database_url, "contratos")

    verified, compared, _ = await run(*CONTRATOS, portal=portal, database_url=database_url)
    listed, told, _ = await run("rejected", portal=portal, database_url=database_url)
    others, of_others, _ = await run("rejected", "--resource", "contratacoes", portal=portal, database_url=database_url)
    async with engine.begin() as db:  # stands in for the upgrade: the payload is one that this version can store
        fixed = "UPDATE rejected_records SET payload = replace(payload, '\"talvez\"', '\"2025-01-10T12:00:00\"')"
        await db.execute(text(fixed))
    only = ("--retry", "--resource", "contratos")
    retried, after, _ = await run("rejected", *only, portal=portal, database_url=database_url)

    assert (verified, listed, others, retried) == (1, 1, 0, 0)
    assert compared.splitlines()[2].startswith(f"  rejected {key}: ")
    assert told.startswith(f"contratos {key}: ")
    assert "dataAtualizacaoGlobal" in told
    assert of_others == "0 of 0 rejected records are not stored\n"
    assert after == "0 of 1 rejected records are not stored\n"
    async with engine.connect() as db:
        stored = "SELECT data_atualizacao_global FROM contratos WHERE numero_controle_pncp = :key"
        assert (await db.execute(text(stored), {"key": key})).scalar_one() == DAY.replace(hour=12)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--modalidades", "6"), "contratos are not divided by modalidade"),
        (("--itens",), "contratos have no items"),
        (("--resource", "pedidos"), f"(choose from {', '.join(map(repr, RESOURCE_NAMES))})"),
    ],
)
def test_what_a_resource_does_not_have_cannot_be_compared(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse_words([*CONTRATOS, *words])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


async def test_lists_that_are_read_later_are_planned_and_what_is_owed_of_them_is_listed(
    engine: AsyncEngine, portal: Simulator, database_url: str
) -> None:
    items = [{"numeroItem": number, "temResultado": number < 3} for number in (1, 2, 3)]
    orgao = {"cnpj": "11222333000181"}
    key = portal.world.put(data_publicacao="2025-01-10T12:00:00", modalidade=6, items=items, orgaoEntidade=orgao)
    scope = f"cnpj={key[:14]}"
    await mirror(engine, portal, database_url)

    asked = ("lists", "--plan", "--list", "resultados", "--scope", scope)
    code, planned, _ = await run(*asked, portal=portal, database_url=database_url)
    assert code == 0
    assert planned.splitlines()[1].split() == ["resultados", "contratacoes", "0", "0", "1", "2", "0.0", scope]
    assert planned.splitlines()[-1] == "2 requests, 0.0 hours at 1 requests per second"

    owe = """
        INSERT INTO resultados_owed (numero_controle_pncp, as_of, reason)
        SELECT numero_controle_pncp, data_atualizacao_global, 'unread' FROM contratacoes
         WHERE numero_controle_pncp = :key
    """
    async with engine.begin() as db:
        await db.execute(text(owe), {"key": key})
    owed, listed, _ = await run("itens", "--list", "resultados", portal=portal, database_url=database_url)
    others, none, _ = await run("itens", "--list", "arquivos", portal=portal, database_url=database_url)
    refused, _, told = await run("lists", "--plan", "--scope", "uf=XX", portal=portal, database_url=database_url)

    assert (owed, others, refused) == (1, 0, 2)
    assert f"{key} unread since" in listed
    assert listed.splitlines()[-1] == "the resultados of 1 contratações are owed"
    assert none.splitlines() == [
        "the arquivos of 0 contratações are owed",
        "the arquivos of 0 contratos e empenhos are owed",
    ]
    assert "'XX' is no UF" in told
