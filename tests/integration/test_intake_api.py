"""Records pushed as JSON: checked while the sender waits, staged once, announced; refused ones are traced too."""

import asyncio
from pathlib import Path
from typing import Any

import aio_pika
import httpx
import pytest

from tests.integration.conftest import Database, OpenApi

CPF, MASKED = "52998224725", "***.982.247-**"
PENS = {"codigo": "7", "descricao": "Caneta azul", "preco": 1.5}
LAYOUT = """
policy: all_or_nothing
into:
  - entity: produtos
    fields: {codigo: {from: cod}, descricao: {from: nome}}
"""


async def staged(database: Database) -> list[tuple[Any, ...]]:
    rows = await database.rows("SELECT import_id, row, entity, key, state FROM import_rows ORDER BY import_id, row")
    return [tuple(row) for row in rows]


async def test_what_is_answered_with_202_is_committed_with_its_exact_numbers(
    api: httpx.AsyncClient, database: Database
) -> None:
    body = (
        b'[{"codigo": "7", "descricao": "Caneta", "preco": 0.1234}, {"codigo": "x"}, {"codigo": 8, "descricao": "B"}]'
    )
    answer = await api.post("/intake/produtos", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert answer.headers["Location"] == f"/imports/{told['import_id']}"
    assert (told["success"], told["accepted"]) == (True, 2)
    (refused,) = told["rejected"]
    assert (refused["row"], refused["entity"], refused["column"], refused["code"]) == (
        2,
        "produtos",
        "descricao",
        "required",
    )
    assert await staged(database) == [
        (1, 1, "produtos", "7", "pending"),
        (1, 2, "produtos", "x", "rejected"),
        (1, 3, "produtos", "8", "pending"),
    ]
    assert await database.value("SELECT CAST(data AS text) FROM import_rows WHERE row = 1") == (
        '{"preco": 0.1234, "codigo": "7", "descricao": "Caneta"}'
    )
    row = await database.row("SELECT * FROM imports")
    assert (row.state, row.rows, row.pending, row.rejected, row.door) == ("checked", 3, 2, 1, "api")
    job = await database.execution(int(told["request_id"]))
    assert (job.kind, job.resource, job.trigger, job.status) == ("intake", "produtos", "import", "running")
    assert job.id == row.execution_id


async def test_a_single_object_is_a_list_of_one(api: httpx.AsyncClient) -> None:
    answer = await api.post("/intake/produtos", json=PENS)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
    assert (await api.post("/intake/itens-compra", json={"compra": "1", "item": 1})).status_code == 202


async def test_where_nothing_is_accepted_the_import_is_traced_and_ends_there(
    api: httpx.AsyncClient, database: Database
) -> None:
    body = [{"codigo": "7"}, {"codigo": "8", "descricao": "B", "descricão": "C"}, 5]
    answer = await api.post("/intake/produtos", json=body)
    assert answer.status_code == 422, answer.text
    told = answer.json()
    assert (told["code"], told["accepted"], told["import_id"]) == ("nothing_accepted", 0, 1)
    assert answer.headers["Content-Type"] == "application/problem+json"
    codes = [(one["row"], one["entity"], one["column"], one["code"]) for one in told["rejected"]]
    assert codes == [
        (1, "produtos", "descricao", "required"),
        (2, "produtos", "descricão", "unknown_column"),
        (3, "produtos", "", "not_object"),
    ]
    assert "a mais próxima é descricao" in told["rejected"][1]["message"]
    row = await database.row("SELECT * FROM imports")
    assert (row.state, row.rows, row.rejected, row.execution_id) == ("refused", 3, 3, None)
    assert row.ended_at is not None
    shown = (await api.get(answer.headers["Location"])).json()
    assert (shown["state"], shown["phase"], shown["job_id"]) == ("refused", "refused", None)


async def test_a_key_with_the_same_records_is_one_import_and_with_others_none(
    api: httpx.AsyncClient, database: Database
) -> None:
    headers = {"Idempotency-Key": "lote-1"}
    first, second = await asyncio.gather(
        *(api.post("/intake/produtos", json=[PENS, {"codigo": "x"}], headers=headers) for _ in range(2))
    )
    assert first.status_code == second.status_code == 202
    assert first.json() == second.json()
    again = await api.post("/intake/produtos", json=[PENS, {"codigo": "x"}], headers=headers)
    assert again.json() == first.json()
    other = await api.post("/intake/produtos", json=[PENS], headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await database.value("SELECT count(*) FROM imports") == 1
    refused = [await api.post("/intake/produtos", json=[{}], headers={"Idempotency-Key": "lote-2"}) for _ in range(2)]
    bodies = [{name: value for name, value in one.json().items() if name != "request_id"} for one in refused]
    assert bodies[0] == bodies[1]
    assert refused[0].status_code == 422


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "json_invalid"),
        (b"{", "json_invalid"),
        (b'{"preco": NaN}', "json_invalid"),
        (b'{"preco": 1e999999999999999999999}', "json_invalid"),
        (b'{"codigo": "\xff"}', "json_invalid"),
        (b"[" * 100_000, "json_invalid"),
        (b"5", "records_form"),
        (b"[]", "too_short"),
        (b"[" + b",".join([b"{}"] * 1001) + b"]", "records_too_many"),
    ],
)
async def test_what_is_no_list_of_records_is_refused_and_leaves_nothing(
    api: httpx.AsyncClient, database: Database, body: bytes, code: str
) -> None:
    answer = await api.post("/intake/produtos", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, code), answer.text
    assert await database.value("SELECT count(*) FROM imports") == 0


async def test_other_types_of_bodies_unknown_names_and_long_bodies_are_refused(api: httpx.AsyncClient) -> None:
    as_text = await api.post("/intake/produtos", content=b"{}", headers={"Content-Type": "text/plain"})
    assert (as_text.status_code, as_text.json()["code"]) == (415, "unknown_media_type")
    unknown = await api.post("/intake/produto", json={})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_layout")
    assert "produtos" in unknown.json()["detail"]
    long = await api.post("/intake/produtos", json=[{"codigo": "x" * 2_000_000}])
    assert (long.status_code, long.json()["code"]) == (413, "body_too_large")


async def test_a_layout_that_takes_all_or_nothing_takes_nothing(
    open_api: OpenApi, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "layouts").mkdir()
    (tmp_path / "layouts" / "catalogo.yaml").write_text(LAYOUT)
    api = await open_api(connections_dir=tmp_path)
    refused = await api.post("/intake/catalogo", json=[{"cod": "7", "nome": "Caneta"}, {"cod": "8"}])
    assert refused.status_code == 422, refused.text
    assert [(one["row"], one["code"]) for one in refused.json()["rejected"]] == [
        (1, "others_rejected"),
        (2, "required"),
    ]
    taken = await api.post("/intake/catalogo", json=[{"cod": "7", "nome": "Caneta"}])
    assert (taken.status_code, taken.json()["rejected"]) == (202, [])
    states = await database.rows("SELECT layout, state FROM imports ORDER BY id")
    assert [tuple(row) for row in states] == [("catalogo", "refused"), ("catalogo", "checked")]


async def test_a_member_that_the_layout_does_not_name_refuses_all_that_its_record_is(
    open_api: OpenApi, database: Database, tmp_path: Path
) -> None:
    (tmp_path / "layouts").mkdir()
    into = (
        "[{entity: fornecedores_proprios, fields: {documento: doc, nome: nome}},"
        " {entity: compras, fields: {numero: nota, orgao_cnpj: doc, valor_homologado: valor}}]"
    )
    (tmp_path / "layouts" / "notas.yaml").write_text(f"into: {into}\n")
    api = await open_api(connections_dir=tmp_path)
    record = {"doc": "00394460000141", "nome": "A", "nota": "7"}
    answer = await api.post("/intake/notas", json=[{**record, "valor": 1}, {**record, "nota": "8", "valr": 1}])
    assert (answer.status_code, answer.json()["accepted"]) == (202, 2), answer.text
    assert [(one["row"], one["entity"], one["code"]) for one in answer.json()["rejected"]] == [
        (2, "fornecedores_proprios", "unknown_column"),
        (2, "compras", "unknown_column"),
    ], "a purchase without the value that was sent is another one"
    assert await database.value("SELECT array_agg(key) FROM import_rows WHERE state = 'pending'") == [
        "00394460000141",
        "7",
    ]


async def test_a_request_that_is_repeated_is_answered_as_it_was_though_the_entity_has_changed(
    open_api: OpenApi, database: Database, tmp_path: Path
) -> None:
    async def pushed(api: httpx.AsyncClient, **member: str) -> httpx.Response:
        records = [{**PENS, **member}, {"codigo": "8"}]
        return await api.post("/intake/produtos", json=records, headers={"Idempotency-Key": f"k{len(member)}"})

    api = await open_api(connections_dir=tmp_path)
    first, refused = await pushed(api), await pushed(api, marca="x")
    assert (first.status_code, first.json()["accepted"], len(first.json()["rejected"])) == (202, 1, 1)
    assert refused.status_code == 422
    await database.rows(
        "UPDATE import_rows SET state = 'rejected', errors = CAST(:errors AS jsonb) WHERE import_id = 1 AND row = 1",
        errors='[{"column": "", "value": "7", "code": "replaced", "message": "x"}]',
    )
    (tmp_path / "entities").mkdir()
    (tmp_path / "entities" / "produtos.yaml").write_text("key: codigo\ncolumns: {codigo: text, marca: text}\n")
    api = await open_api(connections_dir=tmp_path)
    assert (await pushed(api)).json() == first.json()
    again = await pushed(api, marca="x")
    told = ("status", "import_id", "accepted", "rejected")
    assert {name: again.json()[name] for name in told} == {name: refused.json()[name] for name in told}


async def test_values_of_persons_are_masked_in_what_is_refused(api: httpx.AsyncClient, database: Database) -> None:
    body = [{"documento": CPF, "nome": "x" * 300}, {"documento": "52998224724", "nome": f"de {CPF}", "cpf": CPF}]
    answer = await api.post("/intake/fornecedores-proprios", json=body)
    assert answer.status_code == 422
    assert CPF not in answer.text
    assert "52998224724" not in answer.text
    assert CPF not in str(await database.value("SELECT array_agg(CAST(errors AS text)) FROM import_rows"))


async def test_rows_are_announced_by_five_hundred_after_they_are_committed(
    open_api: OpenApi, rabbitmq_url: str, queue_name: str
) -> None:
    api = await open_api(rabbitmq_url=rabbitmq_url, intake_queue=queue_name)
    body = [{"codigo": str(number), "descricao": "x"} for number in range(1000)]
    answer = await api.post("/intake/produtos", json=body)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1000)
    connection = await aio_pika.connect(rabbitmq_url)
    async with connection, connection.channel() as channel:
        queue = await channel.get_queue(queue_name)
        messages = [await queue.get(no_ack=True) for _ in range(2)]
    assert [(message.message_id, message.body) for message in messages] == [
        ("1/1", b'{"import_id": 1, "entity": "produtos", "rows": [1, 500]}'),
        ("1/501", b'{"import_id": 1, "entity": "produtos", "rows": [501, 1000]}'),
    ]


async def test_a_broker_that_is_down_costs_no_import(open_api: OpenApi, database: Database, closed_port: int) -> None:
    api = await open_api(rabbitmq_url=f"amqp://guest:guest@127.0.0.1:{closed_port}/")
    answer = await api.post("/intake/produtos", json=PENS)
    assert answer.status_code == 202
    assert await database.value("SELECT state FROM imports") == "checked"
