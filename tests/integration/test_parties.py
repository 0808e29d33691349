"""Parties that a record names by fields of its own: suppliers of contratos, and órgãos of a record that says less."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import MetaData

from backend.services.profiles import load_profile, root_of
from common.database import raw_driver_of
from common.resources.contratos import CONTRATOS
from common.resources.derive import add_tables
from common.resources.description import Resource, short_text, text
from common.resources.parties import BOTH_ORGAOS, FORNECEDORES, OF_BOTH_ORGAOS, partial_mentions
from ingestor.sources.pncp.records import parse_record
from ingestor.sources.values import Bundle, Record
from ingestor.store.batch import store_bundles
from tests.integration.conftest import Database

CNPJ = "12345678000190"
COMPANY = {"tipoPessoa": "PJ", "niFornecedor": CNPJ, "codigoPaisFornecedor": "BRA"}
ORGAO = {"cnpj": "03112386000111", "razaoSocial": "AGENCIA", "poderId": "E", "esferaId": "F"}
UNIDADE = {"codigoUnidade": "7", "nomeUnidade": "SEDE", "ufSigla": "DF"}

# As the listing of atas has them: neither poder nor esfera, and no place.
FLAT = replace(
    CONTRATOS,
    name="flat_for_a_test",
    columns=(
        *(column for column in CONTRATOS.columns if column not in OF_BOTH_ORGAOS),
        short_text("cnpj_orgao", "cnpjOrgao", "CNPJ"),
        text("nome_orgao", "nomeOrgao", "Órgão"),
        short_text("codigo_unidade_orgao", "codigoUnidadeOrgao", "Código"),
        text("nome_unidade_orgao", "nomeUnidadeOrgao", "Unidade"),
    ),
    mentions=partial_mentions("cnpj_orgao", "nome_orgao", "codigo_unidade_orgao", "nome_unidade_orgao"),
    indexes=(),
    later=(),
)
RICH = replace(CONTRATOS, name="rich_for_a_test", mentions=BOTH_ORGAOS, indexes=(), later=())


@pytest.fixture
async def with_both(database: Database) -> AsyncIterator[Database]:
    metadata = MetaData()
    for resource in (FLAT, RICH):
        add_tables(metadata, resource)
    async with database.engine.begin() as db:
        await db.run_sync(metadata.create_all)
    yield database
    async with database.engine.begin() as db:
        await db.run_sync(metadata.drop_all)


def bundle(number: int, day: int, fields: dict[str, Any], resource: Resource = CONTRATOS) -> Bundle:
    """A contrato of a day of March."""
    stamp = f"2025-03-{day:02}T10:00:00"
    payload = {
        "numeroControlePNCP": f"03112386000111-2-{number:06}/2025",
        "dataPublicacaoPncp": stamp,
        "dataAtualizacao": stamp,
        "dataAtualizacaoGlobal": stamp,
        **fields,
    }
    record = parse_record(resource, json.dumps(payload).encode())
    assert isinstance(record, Record), record
    return Bundle(record)


async def store(database: Database, *bundles: Bundle, resource: Resource = CONTRATOS) -> None:
    _, refused = await database.run(store_bundles, resource, list(bundles))
    assert refused == []


async def suppliers(database: Database) -> list[tuple[str, str, str | None]]:
    rows = await database.rows("SELECT tipo_pessoa, ni, nome FROM fornecedores ORDER BY tipo_pessoa, ni")
    return [tuple(row) for row in rows]


# --- suppliers --------------------------------------------------------------------------------------------------


async def test_a_contrato_names_its_supplier(database: Database) -> None:
    await store(database, bundle(1, 10, {**COMPANY, "nomeRazaoSocialFornecedor": "ACME LTDA"}))

    row = await database.row("SELECT * FROM fornecedores")
    assert (row.tipo_pessoa, row.ni, row.nome, row.codigo_pais) == ("PJ", CNPJ, "ACME LTDA", "BRA")
    assert row.payload == {"tipoPessoa": "PJ", "ni": CNPJ, "nome": "ACME LTDA", "codigoPais": "BRA"}
    assert (row.as_of.isoformat(), row.is_partial) == ("2025-03-10T10:00:00", False)


@pytest.mark.parametrize("order", list(permutations([(10, "OLD"), (11, "NEW"), (12, ""), (13, None)], 4))[::5])
async def test_a_supplier_is_called_as_the_newest_contrato_with_a_name_says(
    database: Database, order: tuple[tuple[int, str | None], ...]
) -> None:
    for day, name in order:
        await store(database, bundle(day, day, {**COMPANY, "nomeRazaoSocialFornecedor": name}))

    assert await suppliers(database) == [("PJ", CNPJ, "NEW")]


async def test_a_supplier_without_any_name_is_known_too(database: Database) -> None:
    await store(database, bundle(1, 10, {**COMPANY, "nomeRazaoSocialFornecedor": ""}))

    assert await suppliers(database) == [("PJ", CNPJ, None)]


@pytest.mark.parametrize("missing", [{"tipoPessoa": None}, {"tipoPessoa": ""}, {"niFornecedor": " "}])
async def test_without_its_kind_or_its_number_a_supplier_is_nobody(database: Database, missing: dict[str, Any]) -> None:
    await store(database, bundle(1, 10, {**COMPANY, "nomeRazaoSocialFornecedor": "ACME", **missing}))

    assert await suppliers(database) == []
    assert await database.value("SELECT count(*) FROM contratos") == 1


@pytest.mark.parametrize(
    "ni", ["AXON INC", "SA-5122", "RFC: RAS101026PH7", "DE89 3704 0044 0532 0130 00", "0", "x" * 30]
)
async def test_a_number_from_abroad_may_be_anything(database: Database, ni: str) -> None:
    await store(database, bundle(1, 10, {"tipoPessoa": "PE", "niFornecedor": ni, "nomeRazaoSocialFornecedor": "A"}))

    assert await suppliers(database) == [("PE", ni, "A")]


async def test_one_number_of_two_kinds_of_person_is_two_suppliers(database: Database) -> None:
    both = [{**COMPANY, "tipoPessoa": kind, "nomeRazaoSocialFornecedor": kind} for kind in ("PE", "PJ")]
    await store(database, *(bundle(number, 10, fields) for number, fields in enumerate(both)))

    assert await suppliers(database) == [("PE", CNPJ, "PE"), ("PJ", CNPJ, "PJ")]


async def test_a_subcontractor_is_added_and_yields_to_what_contratos_of_its_own_say(database: Database) -> None:
    hired = {
        "tipoPessoaSubContratada": "PJ",
        "niFornecedorSubContratado": CNPJ,
        "nomeFornecedorSubContratado": "HIRED",
    }
    await store(database, bundle(1, 20, hired))
    assert await suppliers(database) == [("PJ", CNPJ, "HIRED")]

    await store(database, bundle(2, 10, {**COMPANY, "nomeRazaoSocialFornecedor": "ACME"}))
    await store(database, bundle(3, 21, hired))

    assert await suppliers(database) == [("PJ", CNPJ, "ACME")]


# --- records that say less --------------------------------------------------------------------------------------


def rich(number: int, day: int) -> Bundle:
    return bundle(number, day, {"orgaoEntidade": ORGAO, "unidadeOrgao": UNIDADE}, RICH)


def flat(number: int, day: int, name: str) -> Bundle:
    fields = {"cnpjOrgao": ORGAO["cnpj"], "nomeOrgao": name, "codigoUnidadeOrgao": "7", "nomeUnidadeOrgao": name}
    return bundle(number, day, fields, FLAT)


async def told(database: Database) -> tuple[Any, ...]:
    return tuple(
        await database.row("""
            SELECT razao_social, esfera_id, nome_unidade, uf_sigla FROM orgaos JOIN unidades USING (cnpj)
        """)
    )


async def test_a_record_that_says_less_adds_the_orgao_that_is_not_known(with_both: Database) -> None:
    await store(with_both, flat(1, 10, "AG."), resource=FLAT)

    assert await told(with_both) == ("AG.", None, "AG.", None)
    assert await with_both.value("SELECT payload FROM orgaos") == {"cnpj": ORGAO["cnpj"], "razaoSocial": "AG."}

    await store(with_both, flat(2, 9, "OLDER"), flat(3, 12, "NEWER"), resource=FLAT)

    assert await told(with_both) == ("NEWER", None, "NEWER", None)


@pytest.mark.parametrize("flat_first", [True, False])
async def test_a_record_that_says_less_never_overwrites_what_is_known(with_both: Database, flat_first: bool) -> None:
    async def store_flat() -> None:
        await store(with_both, flat(1, 20, "AG."), resource=FLAT)

    if flat_first:
        await store_flat()
    await store(with_both, rich(1, 10), resource=RICH)
    before = await with_both.row("SELECT xmin, * FROM orgaos")
    if not flat_first:
        await store_flat()

    assert await told(with_both) == ("AGENCIA", "F", "SEDE", "DF")
    assert await with_both.row("SELECT xmin, * FROM orgaos") == before


# --- names by frequency -----------------------------------------------------------------------------------------


async def test_the_five_most_frequent_names_of_a_supplier_are_counted_when_they_are_read(database: Database) -> None:
    names = ["A", "B", "B", "C", "C", "C", "D", "E", "F", "", None]
    await store(
        database,
        *(bundle(at, 1 + at, {**COMPANY, "nomeRazaoSocialFornecedor": name}) for at, name in enumerate(names)),
        bundle(90, 20, {**COMPANY, "tipoPessoa": "PE", "nomeRazaoSocialFornecedor": "OF ANOTHER KIND"}),
        bundle(91, 20, {**COMPANY, "niFornecedor": "0", "nomeRazaoSocialFornecedor": "OF ANOTHER NUMBER"}),
    )
    async with database.engine.connect() as db:
        driver = await raw_driver_of(db)
        found = await load_profile(driver, FORNECEDORES, {"tipo_pessoa": "PJ", "ni": CNPJ}, sees_all=False)
        unknown = await load_profile(driver, FORNECEDORES, {"tipo_pessoa": "PJ", "ni": "unknown"}, sees_all=False)

    assert unknown["nomes"] == []
    assert [(each["nome"], each["contratos"]) for each in found["nomes"]] == [
        *(("C", 3), ("B", 2), ("F", 1), ("E", 1), ("D", 1)),
    ]
    assert found["nomes"][0]["ate"].isoformat() == "2025-03-06T10:00:00"


@pytest.mark.parametrize(
    ("kind", "ni", "root"),
    [("PJ", CNPJ, "12345678"), ("PJ", "12ABC34501DE35", "12ABC345"), ("PJ", "123", None), ("PE", CNPJ, None)],
)
def test_branches_of_a_company_share_the_root_of_their_numbers(kind: str, ni: str, root: str | None) -> None:
    assert root_of(kind, ni) == root
