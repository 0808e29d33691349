"""Saved searches: what is new to them, who is written to, how often, and who may see and change them.

Searches are saved through the API. Their messages go to a mail server and a webhook that really listen; the moment of
each look is given.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError

from backend.metrics import Metrics
from backend.services.alerts.channels import Channel, Email, Message, Webhook
from backend.services.alerts.episodes import Notifier
from backend.services.deliveries.files import ConnectionFiles
from backend.services.entities.mirror import Mirrors
from backend.services.saved_searches import matches
from backend.services.saved_searches.delivery import Courier, digest_of, next_due
from backend.services.saved_searches.texts import MOST_SHOWN
from common.clock import BRASILIA
from common.entities.entity import ENTITIES_BY_ADDRESS
from tests.integration.conftest import Database, OpenApi
from tests.rows import fill
from tests.sinks import MailSink, WebhookSink, listening
from tests.support import eventually

PUBLIC_URL = "https://pncp.example.org"
ANA = "ana@example.org"
CPF, MASKED = "52998224725", "***.982.247-**"
TODAY = datetime.now(BRASILIA).date()
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NOW = datetime.combine(TODAY + DAY, time(8), BRASILIA)
"""The first morning after a search is saved, an hour after it is due."""
PASSWORDS = {f"{role}_password": f"{role}-and-its-long-words" for role in ("admin", "viewer")}
ADMIN, VIEWER = (httpx.BasicAuth(role, f"{role}-and-its-long-words") for role in ("admin", "viewer"))
INTO = {"nome": "Contratos de ZZ", "entidade": "contratos", "filtros": {"uf": "ZZ"}}
"""No row that is made has this UF."""


class Office:
    """The API and a courier of saved searches, with a mail server and a webhook."""

    def __init__(self, database: Database, api: httpx.AsyncClient, mail: MailSink, hook: WebhookSink) -> None:
        self.database = database
        self.api = api
        self.mail = mail
        self.hook = hook
        self.channels: list[Channel] = [
            Email("127.0.0.1", mail.port, "none", "pncp@example.org", ("admin@example.org",)),
            Webhook(f"http://127.0.0.1:{hook.port}/hook"),
        ]
        self.courier = self.another()

    def another(self) -> Courier:
        notifier = Notifier(self.channels, PUBLIC_URL)
        return Courier(self.database.engine, Mirrors({}), ConnectionFiles(None), notifier, Metrics())

    async def save(self, **over: Any) -> dict[str, Any]:
        answer = await self.api.post("/buscas", json={**INTO, "email": ANA, **over})
        assert answer.status_code == 201, answer.text
        told: dict[str, Any] = answer.json()
        assert answer.headers["Location"] == f"/buscas/{told['id']}"
        return told

    async def look(self, now: datetime = NOW) -> None:
        await self.courier.run_once(now)

    async def told(self, search_id: int = 1) -> dict[str, Any]:
        told: dict[str, Any] = (await self.api.get(f"/buscas/{search_id}")).json()
        return told

    async def preview(self, search_id: int = 1) -> dict[str, Any]:
        answer = await self.api.get(f"/buscas/{search_id}/previa")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def keys(self) -> list[list[str]]:
        """The keys in each letter, sorted."""
        return [
            sorted(re.findall(r"Número de controle[^:]*: (new-\S+)", text_of(letter))) for letter in self.mail.letters
        ]


def text_of(letter: Any) -> str:
    return str(letter.get_content()).replace("\r\n", "\n")


INSERT = """
    INSERT INTO contratos
    SELECT (jsonb_populate_record(c, jsonb_build_object('numero_controle_pncp', CAST(:key AS text),
            'unidade_orgao_uf_sigla', CAST(:uf AS text), 'created_at', now(), 'updated_at', now()))).*
      FROM contratos c WHERE c.numero_controle_pncp = (SELECT min(numero_controle_pncp) FROM contratos)
"""
ALTER = "UPDATE contratos SET unidade_orgao_uf_sigla = :uf, updated_at = now() WHERE numero_controle_pncp = :key"


@pytest.fixture
async def office(database: Database, open_api: OpenApi) -> AsyncIterator[Office]:
    await fill(database.engine, 5)
    async with listening(MailSink()) as mail, listening(WebhookSink()) as hook:
        api = await open_api(
            alert_email_to="admin@example.org",
            alert_email_from="pncp@example.org",
            smtp_host="127.0.0.1",
            smtp_port=mail.port,
            smtp_starttls=False,
            alert_webhook_url=f"http://127.0.0.1:{hook.port}/hook",
            public_url=PUBLIC_URL,
        )
        yield Office(database, api, mail, hook)


async def add(database: Database, *keys: str, uf: str = "ZZ") -> None:
    for key in keys:
        await database.rows(INSERT, key=key, uf=uf)


# --- what is new ------------------------------------------------------------------------------------------------


async def test_a_new_match_is_reported_once_and_an_old_one_never(office: Office) -> None:
    await add(office.database, "new-old")
    await office.save(webhook=True)
    await office.look()
    assert office.mail.letters == []
    await add(office.database, "new-1", "new-2")
    await add(office.database, "new-other", uf="YY")
    await office.database.rows(ALTER, key="new-old", uf="ZZ")
    await office.look(NOW + DAY)
    assert office.keys() == [["new-1", "new-2"]]
    assert [[each["chave"] for each in body["registros"]] for body in office.hook.bodies] in (
        [["new-1", "new-2"]],
        [["new-2", "new-1"]],
    )
    assert office.mail.recipients == [[ANA]]

    await office.database.rows(ALTER, key="new-1", uf="ZZ")  # it changes again
    await office.database.rows(ALTER, key="new-2", uf="YY")  # and it leaves, and comes back
    await office.look(NOW + 2 * DAY)
    await office.database.rows(ALTER, key="new-2", uf="ZZ")
    await office.look(NOW + 3 * DAY)
    assert (len(office.mail.letters), len(office.hook.bodies)) == (1, 1)


async def test_a_record_that_is_altered_into_the_filter_is_new(office: Office) -> None:
    await add(office.database, "new-1", uf="YY")
    await office.save()
    await office.database.rows(ALTER, key="new-1", uf="ZZ")
    assert (await office.preview())["total"] == 1
    await office.look()
    assert office.keys() == [["new-1"]]


async def test_a_record_that_comes_to_match_as_time_goes_by_is_new(office: Office) -> None:
    await office.database.rows("UPDATE contratacoes SET data_encerramento_proposta = NULL")
    await office.save(entidade="contratacoes", filtros={"encerramento_de": "2031-01-01"})
    await office.database.rows("""
        UPDATE contratacoes SET data_encerramento_proposta = '2031-01-02'
         WHERE numero_controle_pncp = (SELECT min(numero_controle_pncp) FROM contratacoes)
    """)
    await office.look()
    assert len(office.mail.letters) == 1


@pytest.mark.parametrize("most_known", [100_000, 0], ids=["all are known", "a broad search"])
async def test_what_commits_late_is_reported_once(
    office: Office, monkeypatch: pytest.MonkeyPatch, most_known: int
) -> None:
    """Transactions that began before the search was saved, or before a look, and commit after it."""
    monkeypatch.setattr(matches, "MOST_KNOWN", most_known)
    await add(office.database, "new-old")
    insert = INSERT.replace(":key", "$1").replace(":uf", "'ZZ'")
    async with office.database.engine.connect() as before, office.database.engine.connect() as during:
        await before.exec_driver_sql(insert, ("new-before",))
        told = await office.save()
        assert (told["vistos_desde"] is None) == (most_known > 0)
        await during.exec_driver_sql(insert, ("new-during",))
        await before.commit()
        await office.look()
        assert office.keys() == [["new-before"]]
        await during.commit()
        await add(office.database, "new-after")
        await office.look(NOW + DAY)
        await office.look(NOW + 2 * DAY)
    assert office.keys() == [["new-before"], ["new-after", "new-during"]]


async def test_a_broad_search_counts_what_is_first_seen_after_it_and_says_so(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matches, "MOST_KNOWN", 1)
    await add(office.database, "new-old", "new-older")
    await add(office.database, "new-altered", uf="YY")
    old = "UPDATE contratos SET created_at = now() - interval '2 hours' WHERE numero_controle_pncp LIKE 'new-%'"
    await office.database.rows(old)
    told = await office.save()
    assert told["vistos_desde"] is not None
    assert await office.database.value("SELECT count(*) FROM buscas_registros") == 0
    await office.database.rows(ALTER, key="new-altered", uf="ZZ")
    await add(office.database, "new-1")
    assert (await office.preview())["total"] == 1
    await office.look()
    assert office.keys() == [["new-1"]]


async def test_every_list_can_be_saved_and_finds_what_is_new(office: Office) -> None:
    """Rows of every table are put aside before the search is saved, and are there afterwards."""
    names = [*ENTITIES_BY_ADDRESS, "fornecedores-proprios"]
    await office.database.rows(
        "INSERT INTO entity_records (entity, key, data)"
        " SELECT 'fornecedores_proprios', c, jsonb_build_object('documento', c, 'nome', 'Ana')"
        " FROM unnest(CAST(:keys AS text[])) c",
        keys=[CPF, "00394460000141"],
    )
    for search_id, name in enumerate(names, 1):
        count = (await office.api.get(f"/{name}?contagem=exata&limite=1")).json()["total"]
        await office.save(entidade=name, filtros={}, nome=name)
        assert (await office.preview(search_id))["total"] == 0
        known = "SELECT count(*) FROM buscas_registros WHERE search_id = :id"
        assert await office.database.value(known, id=search_id) == count, name
        await office.database.rows("DELETE FROM buscas_registros WHERE search_id = :id", id=search_id)
        preview = await office.preview(search_id)
        assert (preview["total"], len(preview["registros"])) == (count, min(count, MOST_SHOWN)), name
    await office.look()
    assert len(office.mail.letters) == len(names)
    assert CPF not in " ".join(text_of(letter) for letter in office.mail.letters)


async def test_other_filters_begin_anew(office: Office) -> None:
    await office.save()
    await add(office.database, "new-1")
    await add(office.database, "new-2", uf="YY")
    answer = await office.api.patch("/buscas/1", json={"filtros": {"uf": ["YY"]}})
    assert answer.json()["filtros"] == {"uf": ["YY"]}
    assert (await office.preview())["total"] == 0
    await add(office.database, "new-3", uf="YY")
    await office.look()
    assert office.keys() == [["new-3"]]
    kept = "SELECT count(*) FROM buscas_registros WHERE generation = 0"
    assert await office.database.value(kept) == 0, "of the filters before, nothing is kept"


# --- messages ---------------------------------------------------------------------------------------------------


async def test_a_message_names_search_records_list_and_completeness(office: Office) -> None:
    await office.save(nome="Só  de ZZ", webhook=True)
    await add(office.database, "new-1")
    preview = await office.preview()
    await office.look()
    (letter,), (body,) = office.mail.letters, office.hook.bodies
    assert letter["Subject"] == "[PNCP Sync] Só de ZZ: 1 registro novo" == preview["assunto"]
    text = text_of(letter)
    assert text.startswith("1 registro novo em Contratos")
    assert f"Lista: {PUBLIC_URL}/contratos?uf=ZZ\n" in text
    assert "Espelho incompleto: nenhum dia foi lido por inteiro" in text
    assert text.partition("\nPara não receber")[0] == preview["texto"]
    assert (body["event"], body["total"], body["url"]) == ("saved_search", 1, f"{PUBLIC_URL}/contratos?uf=ZZ")
    assert body["espelho"]["completo"] is False
    assert body["registros"] == preview["registros"]
    assert preview["espelho"] == body["espelho"]
    assert "cancelar" not in str(body)


async def test_more_records_than_a_message_holds_are_counted_and_said_to_be_cut(office: Office) -> None:
    await office.save(webhook=True)
    await add(office.database, *(f"new-{number}" for number in range(MOST_SHOWN + 3)))
    await office.look()
    text = text_of(office.mail.letters[0])
    assert f"{MOST_SHOWN + 3} registros novos em" in text
    assert f"Aqui estão só os {MOST_SHOWN} mais novos" in text
    assert len(office.keys()[0]) == MOST_SHOWN
    assert (office.hook.bodies[0]["total"], len(office.hook.bodies[0]["registros"])) == (MOST_SHOWN + 3, MOST_SHOWN)
    await office.look(NOW + DAY)
    assert len(office.mail.letters) == 1, "those that were not shown were counted"


async def test_cpfs_are_masked_in_every_message_and_preview(office: Office) -> None:
    """Of a supplier, in the name of a search, and in a filter, whose list is then linked through the search."""
    await office.database.rows("UPDATE contratos SET unidade_orgao_uf_sigla = 'YY'")
    filters = {"uf": "ZZ", "ni_fornecedor": CPF}
    await office.save(nome=f"Tudo de {CPF}", filtros=filters, webhook=True)
    await add(office.database, "new-1")
    await office.database.rows(
        """
        UPDATE contratos SET ni_fornecedor = :cpf, tipo_pessoa = 'PF', objeto_contrato = 'Aulas de ' || :cpf,
               nome_razao_social_fornecedor = 'NOME ' || :cpf WHERE numero_controle_pncp = 'new-1'
        """,
        cpf=CPF,
    )
    preview = await office.preview()
    await office.look()
    (letter,), (body,) = office.mail.letters, office.hook.bodies
    for said in (str(letter["Subject"]), text_of(letter), str(body), preview["texto"], str(preview["registros"])):
        assert CPF not in said
        assert MASKED in said
    assert body["url"] == f"{PUBLIC_URL}/buscas/1"


async def test_at_most_one_message_a_day_and_none_before_the_hour(office: Office) -> None:
    await office.save(hora=9)
    await add(office.database, "new-1")
    await office.look(NOW)
    assert office.mail.letters == []
    await office.look(NOW + 61 * MINUTE)
    await add(office.database, "new-2")
    await office.api.patch("/buscas/1", json={"hora": 23})
    await office.look(datetime.combine(NOW.date(), time(23, 30), BRASILIA))
    assert office.keys() == [["new-1"]]
    await office.look(datetime.combine(NOW.date() + DAY, time(22), BRASILIA))
    assert len(office.mail.letters) == 1
    await office.look(datetime.combine(NOW.date() + DAY, time(23, 30), BRASILIA))
    assert office.keys() == [["new-1"], ["new-2"]]


def test_an_hour_comes_next_on_a_day_without_an_evaluation() -> None:
    morning = datetime(2026, 11, 29, 6, 30, tzinfo=BRASILIA)
    seven = datetime(2026, 11, 29, 7, tzinfo=BRASILIA)
    assert next_due(7, morning, None) == seven
    assert next_due(7, seven, None) == seven + DAY
    assert next_due(7, morning, morning - DAY) == seven
    assert next_due(7, morning, morning - MINUTE) == seven + DAY


async def test_a_channel_that_is_down_gets_all_once_it_is_up_and_holds_up_no_other(office: Office) -> None:
    await office.save(webhook=True)
    await add(office.database, "new-1")
    office.hook.status = 500
    office.mail.refuse_at = "DATA"
    await office.look()
    told = {each["canal"]: each for each in (await office.told())["canais"]}
    assert told["webhook"]["erro"] == "o servidor respondeu 500"
    assert told["email"]["erro"] == "o servidor recusou a mensagem (554)"
    office.mail.refuse_at = None
    await office.look(NOW + timedelta(seconds=20))
    assert office.mail.letters == [], "a pause has to be over"
    await office.look(NOW + MINUTE)
    await add(office.database, "new-2")
    await office.look(NOW + DAY)
    assert office.keys() == [["new-1"], ["new-2"]]
    office.hook.status = 200
    await office.look(NOW + DAY + 60 * MINUTE)
    assert [sorted(each["chave"] for each in body["registros"]) for body in office.hook.bodies] == [["new-1", "new-2"]]
    await office.look(NOW + DAY + 90 * MINUTE)
    assert (len(office.mail.letters), len(office.hook.bodies)) == (2, 1)
    assert [each["erro"] for each in (await office.told())["canais"]] == [None, None]


async def test_what_leaves_before_it_was_reported_is_new_when_it_comes_back(office: Office) -> None:
    await office.save()
    await add(office.database, "new-1")
    office.mail.refuse_at = "DATA"
    await office.look()
    await office.database.rows(ALTER, key="new-1", uf="YY")
    office.mail.refuse_at = None
    await office.look(NOW + DAY)
    assert office.mail.letters == []
    await office.database.rows(ALTER, key="new-1", uf="ZZ")
    await office.look(NOW + 2 * DAY)
    assert office.keys() == [["new-1"]]


class Dying:
    """A channel whose backend dies before, or after, the message is accepted."""

    name = "email"

    def __init__(self, channel: Channel, *, has_accepted: bool) -> None:
        self.channel = channel
        self.has_accepted = has_accepted

    async def send(self, message: Message) -> None:
        if self.has_accepted:
            await self.channel.send(message)
        raise asyncio.CancelledError


@pytest.mark.parametrize("has_accepted", [False, True])
async def test_a_backend_that_dies_amid_a_message_loses_none_and_repeats_it_at_most_once(
    office: Office, has_accepted: bool
) -> None:
    await office.save()
    await add(office.database, "new-1")
    email = replace(office.channels[0], recipients=(ANA,))  # type: ignore[type-var]
    notifier = Notifier([Dying(email, has_accepted=has_accepted)], PUBLIC_URL)
    with pytest.raises(asyncio.CancelledError):
        await Courier(office.database.engine, Mirrors({}), ConnectionFiles(None), notifier, Metrics()).run_once(NOW)
    for minutes in range(3):
        await office.look(NOW + minutes * MINUTE)
    assert office.keys() == [["new-1"]] * (2 if has_accepted else 1)
    assert len({letter["Message-ID"] for letter in office.mail.letters}) == 1


async def test_two_backends_at_once_send_one_message(office: Office) -> None:
    await office.save(webhook=True, hora=0)
    await add(office.database, "new-1")
    await office.database.rows("UPDATE buscas SET due_at = now()")
    couriers = [office.another() for _ in range(2)]
    tasks = [asyncio.create_task(courier.watch(every=0.01)) for courier in couriers]
    try:
        # each of them has looked through to the end
        await eventually(lambda: all(courier._forgotten_at is not None for courier in couriers))
        await eventually(lambda: office.mail.letters and office.hook.bodies)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert (len(office.mail.letters), len(office.hook.bodies)) == (1, 1)


async def test_a_search_that_fails_says_so_and_holds_up_no_other(office: Office) -> None:
    await office.save()
    await office.save()
    await office.database.rows("""UPDATE buscas SET filters = '{"gone": ["1"]}' WHERE id = 1""")
    await add(office.database, "new-1")
    await office.look()
    assert office.keys() == [["new-1"]]
    assert "não conhece mais a lista ou um filtro" in (await office.told(1))["erro"]
    assert (await office.told(2))["erro"] is None


async def test_a_search_that_is_changed_or_deleted_amid_an_evaluation_is_not_written_to(office: Office) -> None:
    await office.save()
    await office.save()
    await add(office.database, "new-1")
    async with office.database.engine.begin() as db:
        await db.exec_driver_sql("LOCK TABLE buscas_registros IN ACCESS EXCLUSIVE MODE")
        looking = asyncio.create_task(office.look())
        await office.database.someone_waits_for_a_lock()
        await office.database.rows("DELETE FROM buscas WHERE id = 1")
        await office.database.rows("UPDATE buscas SET generation = 1 WHERE id = 2")
    await looking
    assert office.mail.letters == []
    await office.look(NOW + MINUTE)
    assert len(office.mail.letters) == 1, "the changed one is looked at again"


async def test_what_is_not_needed_any_more_is_forgotten(office: Office) -> None:
    await add(office.database, "new-1", "new-2")
    await office.save()
    await office.database.rows(ALTER, key="new-1", uf="YY")
    await office.look()
    kept = "SELECT key FROM buscas_registros ORDER BY key"
    assert [row.key for row in await office.database.rows(kept)] == ["new-1", "new-2"]
    await office.look(NOW + matches.KEPT + DAY)
    assert [row.key for row in await office.database.rows(kept)] == ["new-2"]
    await office.api.delete("/buscas/1")
    await office.look(NOW + matches.KEPT + 2 * DAY)
    assert await office.database.rows(kept) == []


async def test_a_search_without_a_channel_collects_until_it_has_one(office: Office) -> None:
    told = await office.save(email=None)
    assert (told["canais"], told["procura_em"]) == ([], None)
    await add(office.database, "new-1")
    await office.look()
    assert (await office.preview())["total"] == 1
    assert (await office.api.patch("/buscas/1", json={"email": ANA})).json()["email"] == ANA
    await office.look(NOW + MINUTE)
    await add(office.database, "new-2")
    await office.api.patch("/buscas/1", json={"webhook": True})
    await office.look(NOW + DAY)
    assert office.keys() == [["new-1"], ["new-2"]]
    assert [[each["chave"] for each in body["registros"]] for body in office.hook.bodies] == [["new-2"]]


# --- unsubscribing ----------------------------------------------------------------------------------------------


async def letter_of(office: Office) -> Any:
    await office.save(webhook=True)
    await add(office.database, "new-1")
    await office.look()
    return office.mail.letters[0]


def link_of(letter: Any) -> str:
    header = dict(letter.raw_items())["List-Unsubscribe"]  # as it was sent: no line end, no encoded word
    found = re.fullmatch(rf"<{PUBLIC_URL}(/buscas/cancelar/[A-Za-z0-9_-]{{43}})>", header)
    assert found, header
    return found[1]


async def test_one_click_cancels_for_good_and_opening_the_link_does_not(office: Office) -> None:
    letter = await letter_of(office)
    link = link_of(letter)
    assert dict(letter.raw_items())["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert f"{PUBLIC_URL}{link}" in text_of(letter)

    for _ in range(2):  # as mail scanners do
        page = await office.api.get(link)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert '<form method="post">' in page.text
    assert (await office.told())["cancelada_em"] is None
    for _ in range(2):
        answer = await office.api.post(link, data={"List-Unsubscribe": "One-Click"})
        assert (answer.status_code, "não envia mais mensagens" in answer.text) == (200, True)
    assert "<form" not in (await office.api.get(link)).text
    told = await office.told()
    assert told["cancelada_em"] is not None
    assert told["procura_em"] is None

    await add(office.database, "new-2")
    await office.look(NOW + DAY)
    assert (len(office.mail.letters), len(office.hook.bodies)) == (1, 1)
    assert (await office.api.patch("/buscas/1", json={"email": "rui@example.org"})).status_code == 409
    assert (await office.api.get("/buscas/1/previa")).status_code == 409
    assert (await office.api.delete("/buscas/1")).status_code == 204
    assert (await office.api.post(link)).status_code == 200


async def test_what_waits_for_a_channel_is_not_sent_after_a_click(office: Office) -> None:
    link = link_of(await letter_of(office))
    office.mail.refuse_at = "DATA"
    await add(office.database, "new-2")
    await office.look(NOW + DAY)
    await office.api.post(link)
    office.mail.refuse_at = None
    await office.look(NOW + DAY + 60 * MINUTE)
    assert len(office.mail.letters) == 1


async def test_the_token_of_a_link_is_not_stored_and_no_other_one_serves(office: Office) -> None:
    token = link_of(await letter_of(office)).rpartition("/")[2]
    (row,) = await office.database.rows("SELECT * FROM buscas_cancelamentos")
    assert row.token_sha256 == digest_of(token)
    assert token not in str(row)
    for other in ("x" * 43, token[:-1] + ("A" if token[-1] != "A" else "B")):
        for method in ("GET", "POST"):
            assert (await office.api.request(method, f"/buscas/cancelar/{other}")).status_code == 404
    assert (await office.api.post("/buscas/cancelar/short")).status_code == 422
    await office.api.delete("/buscas/1")
    await office.look(NOW + timedelta(days=500))
    assert await office.database.value("SELECT count(*) FROM buscas_cancelamentos") in (0, 1)


async def test_a_click_needs_no_user_but_passes_the_check_of_other_sites(office: Office, open_api: OpenApi) -> None:
    link = link_of(await letter_of(office))
    api = await open_api(**PASSWORDS)
    assert (await api.get("/buscas")).status_code == 401
    assert (await api.get(link)).status_code == 200
    foreign = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert (await api.post(link, headers=foreign)).status_code == 403
    own = {"Origin": "http://api", "Sec-Fetch-Site": "same-origin"}
    assert (await api.post(link, headers=own)).status_code == 200


async def test_without_https_there_is_a_link_and_no_one_click(office: Office) -> None:
    notifier = Notifier(office.channels, "http://pncp.intranet")
    await office.save()
    await add(office.database, "new-1")
    await Courier(office.database.engine, Mirrors({}), ConnectionFiles(None), notifier, Metrics()).run_once(NOW)
    (letter,) = office.mail.letters
    assert letter["List-Unsubscribe"].startswith("<http://pncp.intranet/buscas/cancelar/")
    assert letter["List-Unsubscribe-Post"] is None


# --- the API ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"filtros": {"ufs": "SC"}}, "ufs não é um parâmetro de /contratos; o mais próximo é uf"),
        ({"filtros": {"limite": 10}}, "limite não é um parâmetro de /contratos"),
        ({"filtros": {"dados_pessoais": True}}, "dados_pessoais não é um parâmetro de /contratos"),
        ({"filtros": {"data_publicacao_de": "ontem"}}, "data_publicacao_de deve ser um dia"),
        ({"filtros": {"uf": []}}, "um filtro tem de 1 a 200 valores"),
        ({"filtros": {"q": "\0"}}, "q tem um caractere que não é aceito"),
        ({"entidade": "contrato"}, "não existe: use"),
        ({"nome": " "}, "nome deve ser um texto"),
        ({"nome": "a\0b"}, "nome deve ser um texto"),
        ({"nome": "x" * 101}, "nome é longo demais"),
        ({"email": "Ana <ana@example.org>"}, "email deve ser um endereço"),
        ({"email": "ana@example.org\r\nBcc: rui@example.org"}, "email deve ser um endereço"),
        ({"email": "ana@example.org,rui@example.org"}, "email deve ser um endereço"),
        ({"hora": 24}, "hora deve ser no máximo 23"),
        ({"webhook": "https://evil.example/"}, "webhook"),
        ({"webhook_url": "https://evil.example/"}, "webhook_url não é um campo conhecido"),
    ],
)
async def test_what_does_not_serve_is_refused_with_its_name(office: Office, over: dict[str, Any], said: str) -> None:
    answer = await office.api.post("/buscas", json={**INTO, **over})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    if "entidade" not in over:
        await office.save()
        change = await office.api.patch("/buscas/1", json=over)
        assert change.status_code == 422
        assert said in change.json()["detail"]
    assert await office.database.value("SELECT count(*) FROM buscas_registros") == 0


async def test_nothing_but_the_email_can_be_null_in_a_change(office: Office) -> None:
    await office.save()
    for name in ("nome", "filtros", "webhook", "hora"):
        answer = await office.api.patch("/buscas/1", json={name: None})
        assert (answer.status_code, answer.json()["detail"]) == (422, f"{name} não pode ser nulo")
    assert (await office.api.patch("/buscas/1", json={"email": None})).json()["email"] is None
    assert (await office.api.patch("/buscas/1", json={"entidade": "atas"})).status_code == 422


async def test_channels_that_are_not_configured_are_refused(database: Database, open_api: OpenApi) -> None:
    api = await open_api()
    for channel in ({"email": ANA}, {"webhook": True}):
        answer = await api.post("/buscas", json={**INTO, **channel})
        assert answer.status_code == 409
    assert (await api.post("/buscas", json=INTO)).status_code == 201
    assert (await api.patch("/buscas/1", json={"webhook": True})).status_code == 409


async def test_a_search_says_where_its_list_and_its_feed_are(office: Office) -> None:
    told = await office.save(filtros={"uf": ["ZZ", "SC"], "valor_min": 10.5, "receita": False})
    path, _, query = told["lista"].partition("?")
    assert (path, sorted(query.split("&"))) == ("/contratos", ["receita=false", "uf=SC", "uf=ZZ", "valor_min=10.5"])
    assert told["atom"] == f"/contratos.atom?{query}"
    assert (await office.api.get(told["lista"])).status_code == 200
    feed = await office.api.get(told["atom"])
    assert feed.headers["content-type"].startswith("application/atom+xml")


async def test_users_see_and_change_their_own_searches_and_an_administrator_all(
    database: Database, open_api: OpenApi
) -> None:
    api = await open_api(**PASSWORDS, saved_searches_per_user=2)
    of_admin = (await api.post("/buscas", json=INTO, auth=ADMIN)).json()["id"]
    of_viewer = (await api.post("/buscas", json=INTO, auth=VIEWER)).json()["id"]
    assert (await api.post("/buscas", json=INTO)).status_code == 401

    async def listed(auth: httpx.BasicAuth) -> list[int]:
        return [each["id"] for each in (await api.get("/buscas", auth=auth)).json()["buscas"]]

    assert await listed(VIEWER) == [of_viewer]
    assert await listed(ADMIN) == [of_viewer, of_admin]
    for method, path, body in (
        ("GET", f"/buscas/{of_admin}", None),
        ("GET", f"/buscas/{of_admin}/previa", None),
        ("PATCH", f"/buscas/{of_admin}", {"hora": 3}),
        ("DELETE", f"/buscas/{of_admin}", None),
    ):
        assert (await api.request(method, path, json=body, auth=VIEWER)).status_code == 404
        own = path.replace(str(of_admin), str(of_viewer))
        if method != "DELETE":
            assert (await api.request(method, own, json=body, auth=VIEWER)).status_code == 200
            assert (await api.request(method, own, json=body, auth=ADMIN)).status_code == 200
    assert (await api.post("/buscas", json=INTO, auth=VIEWER)).status_code == 201
    answer = await api.post("/buscas", json=INTO, auth=VIEWER)
    assert (answer.status_code, "o limite é 2" in answer.json()["detail"]) == (409, True)
    assert (await api.delete(f"/buscas/{of_viewer}", auth=ADMIN)).status_code == 204
    assert (await api.post("/buscas", json=INTO, auth=VIEWER)).status_code == 201


async def test_searches_come_in_pages(office: Office) -> None:
    ids = [(await office.save())["id"] for _ in range(3)]
    first = (await office.api.get("/buscas?limite=2")).json()
    assert [each["id"] for each in first["buscas"]] == ids[:0:-1]
    second = (await office.api.get(f"/buscas?limite=2&cursor={first['proximo']}")).json()
    assert ([each["id"] for each in second["buscas"]], second["proximo"]) == (ids[:1], None)
    assert (await office.api.get("/buscas?limite=1&limite=2")).status_code == 422
    assert (await office.api.get("/buscas/99")).status_code == 404


async def test_messages_are_counted(office: Office) -> None:
    await office.save(webhook=True)
    await add(office.database, "new-1")
    office.hook.status = 500
    await office.look()
    rendered = office.courier._metrics.render([]).decode()
    assert 'pncp_saved_search_messages_total{channel="email",outcome="delivered"} 1.0' in rendered
    assert 'pncp_saved_search_messages_total{channel="webhook",outcome="failed"} 1.0' in rendered


def test_what_is_no_list_or_no_filter_any_more_is_refused() -> None:
    for address, filters in (("contratos", {"cursor": ["x"]}), ("gone", {})):
        with pytest.raises(RequestValidationError):
            matches.to_question(ConnectionFiles(None).known, address, filters)
