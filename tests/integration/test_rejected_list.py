"""The list of rejected records: what is shown of each, and in which words its reason is explained."""

import httpx
import pytest

from backend.services.rejected import explain_rejection
from ingestor.sources.values import Rejected
from ingestor.store.rejected import keep_rejected
from tests.integration.conftest import Database

CPF = "529.982.247-25"


async def reject(database: Database, key: str, *, table: str = "contratacoes", execution_id: int | None = None) -> None:
    record = Rejected(key, "'x' stands where an id belongs", f'{{"key": "{key}"}}', table)
    await database.run(keep_rejected, record, execution_id=execution_id, slice_id=None)


async def test_the_newest_comes_first_with_what_the_portal_sent(api: httpx.AsyncClient, database: Database) -> None:
    execution_id = await database.planned()
    await reject(database, "a", execution_id=execution_id)
    await reject(database, "b", table="itens_contratacao")
    await reject(database, "c", table="atas")
    await reject(database, "stored")
    await database.rows("UPDATE rejected_records SET resolved_at = now() WHERE natural_key = 'stored'")

    first = (await api.get("/sync/rejected", params={"limit": 2})).json()
    rest = (await api.get("/sync/rejected", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [one["natural_key"] for one in first["records"] + rest["records"]] == ["c", "b", "a"]
    assert (first["total"], rest["next_cursor"]) == (3, None)
    (oldest,) = rest["records"]
    assert (oldest["payload"], oldest["payload_length"], oldest["execution_id"]) == ('{"key": "a"}', 12, execution_id)
    assert oldest["explanation"] == "'x' está onde se espera um identificador"
    assert oldest["label"] == "Contratações"


@pytest.mark.parametrize(
    ("filters", "keys"),
    [({"resource": "contratacoes"}, ["b", "a"]), ({"resource": "atas"}, ["c"]), ({"execution_id": 99}, [])],
)
async def test_filters_are_a_resource_with_its_lists_and_an_execution(
    api: httpx.AsyncClient, database: Database, filters: dict[str, str], keys: list[str]
) -> None:
    for key, table in (("a", "contratacoes"), ("b", "itens_contratacao"), ("c", "atas")):
        await reject(database, key, table=table)
    answer = (await api.get("/sync/rejected", params=filters)).json()
    assert [one["natural_key"] for one in answer["records"]] == keys
    assert answer["total"] == len(keys)


@pytest.mark.parametrize(
    ("reason", "explanation"),
    [
        ("Object missing required field `dataAtualizacao`", "Falta o campo obrigatório dataAtualizacao"),
        (
            "Expected `str`, got `int` - at `$.objetoCompra`",
            "O campo objetoCompra veio como número; a coluna espera texto",
        ),
        ("Expected `str | null`, got `array`", "Um valor veio como lista; a coluna espera texto ou nulo"),
        ("numeroControlePNCP is not of the form CNPJ-1-S/A", "O campo numeroControlePNCP não tem a forma CNPJ-1-S/A"),
        ("dataInclusao: 'ontem' is no moment and no day", "O campo dataInclusao traz 'ontem', que não é data nem hora"),
        (
            "valorTotal has more than 131071 digits on one side of the point",
            "O campo valorTotal tem mais de 131071 algarismos",
        ),
        ("something new", "something new"),
    ],
)
def test_reasons_are_explained_in_portuguese(reason: str, explanation: str) -> None:
    assert explain_rejection(reason) == explanation
