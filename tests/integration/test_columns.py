"""What the database reads out of a payload is what the portal wrote, each value in its own column."""

import json
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from common.resources.contratacoes import CONTRATACOES, ITENS
from common.resources.derive import to_sql
from ingestor.sources.pncp.records import parse_entry, parse_list, parse_record
from ingestor.sources.values import Bundle, Entry, Record
from ingestor.store.batch import store_bundles
from tests.integration.conftest import Database
from tests.records import CONTRATACAO, ITEM, KEY, raw


async def fetch(database: Database, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    """Rows as the driver gives them: JSON as its text, in which every number keeps its digits."""
    url = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(statement, *parameters)]
    finally:
        await connection.close()


async def read(database: Database, columns: dict[str, str], payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    """What these columns would hold for each of these payloads, in their order."""
    picked = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
    statement = f"SELECT {picked} FROM unnest($1::jsonb[]) AS page (payload)"
    return await fetch(database, statement, [payload.decode() for payload in payloads])


async def read_one(database: Database, **over: Any) -> dict[str, Any]:
    """The row of the full contratação with keys laid over it, which the ingestor would take."""
    payload = raw(**over)
    assert isinstance(parse_record(CONTRATACOES, payload), Record)
    return (await read(database, to_sql(CONTRATACOES.columns), [payload]))[0]


async def read_item(database: Database, **over: Any) -> dict[str, Any]:
    """The same for the full item."""
    payload = raw(ITEM, **over)
    assert isinstance(parse_entry(ITENS, payload), Entry)
    return (await read(database, to_sql(ITENS.columns), [payload]))[0]


async def stored_rows(database: Database) -> tuple[dict[str, Any], dict[str, Any]]:
    """The full contratação and its one item, as they stand in their tables once they have been stored."""
    record = parse_record(CONTRATACOES, raw())
    assert isinstance(record, Record)
    async with database.engine.begin() as db:
        await store_bundles(db, CONTRATACOES, [Bundle(record, parse_list(ITENS, b"[%s]" % raw(ITEM), KEY))])
    lists = ("itens_at", "resultados_at", "arquivos_at", "historico_at")
    ours = (*lists, "ausente_desde", "busca", "created_at", "updated_at")
    tables = ("contratacoes", "itens_contratacao")
    (contratacao,), (of_item,) = [await fetch(database, f"SELECT * FROM {table}") for table in tables]
    for name in ours:
        contratacao.pop(name)
        of_item.pop(name, None)
    return contratacao, of_item


def json_of(row: dict[str, Any], *names: str) -> list[Any]:
    """Take these columns out of a row."""
    return [json.loads(row.pop(name)) for name in names]


async def test_a_contratacao_s_row_holds_each_value_in_its_own_column(database: Database) -> None:
    row, _ = await stored_rows(database)
    assert json_of(row, "payload", "fontes_orcamentarias") == [CONTRATACAO, CONTRATACAO["fontesOrcamentarias"]]
    assert row == {
        "numero_controle_pncp": KEY,
        "ano_compra": 2026,
        "sequencial_compra": 350,
        "numero_compra": "019/2026-REABERTURA",
        "processo": "P-1",
        "objeto_compra": "Água e luz",
        "informacao_complementar": "IC",
        "justificativa_presencial": "JP",
        "link_sistema_origem": "0",
        "link_processo_eletronico": " ",
        "modalidade_nome": "Pregão - Eletrônico",
        "modo_disputa_nome": "Aberto",
        "situacao_compra_nome": "Anulada",
        "tipo_instrumento_convocatorio_nome": "Edital",
        "srp": True,
        "emenda_parlamentar": False,
        "valor_total_estimado": Decimal("320.0"),
        "valor_total_homologado": Decimal(12),
        "usuario_nome": "Sistema",
        "data_publicacao_pncp": datetime.fromisoformat("2026-01-01T00:00:01"),
        "data_atualizacao": datetime.fromisoformat("2026-01-01T00:00:02"),
        "data_atualizacao_global": datetime.fromisoformat("2026-01-01T00:00:03"),
        "data_inclusao": datetime.fromisoformat("2026-01-01T00:00:04"),
        "data_abertura_proposta": datetime.fromisoformat("2026-01-01T00:00:05"),
        "data_encerramento_proposta": datetime.fromisoformat("2026-01-01T00:00:06"),
        "modalidade_id": 6,
        "modo_disputa_id": 1,
        "situacao_compra_id": 3,
        "tipo_instrumento_convocatorio_codigo": 2,
        "amparo_legal_codigo": 18,
        "amparo_legal_nome": "Lei 14.133",
        "amparo_legal_descricao": "Art. 75",
        "orgao_entidade_cnpj": "46675997000180",
        "orgao_entidade_razao_social": "ORGAO",
        "orgao_entidade_poder_id": "E",
        "orgao_entidade_esfera_id": "M",
        "unidade_orgao_codigo_unidade": "01",
        "unidade_orgao_nome_unidade": "UNIDADE",
        "unidade_orgao_codigo_ibge": "3550308",
        "unidade_orgao_municipio_nome": "São Paulo",
        "unidade_orgao_uf_sigla": "SP",
        "unidade_orgao_uf_nome": "São Paulo (estado)",
        "orgao_sub_rogado_cnpj": "00000000000191",
        "orgao_sub_rogado_razao_social": "SUB",
        "orgao_sub_rogado_poder_id": "L",
        "orgao_sub_rogado_esfera_id": "F",
        "unidade_sub_rogada_codigo_unidade": "3.2026",
        "unidade_sub_rogada_nome_unidade": "SUBUNIDADE",
        "unidade_sub_rogada_codigo_ibge": "5300108",
        "unidade_sub_rogada_municipio_nome": "Brasília",
        "unidade_sub_rogada_uf_sigla": "DF",
        "unidade_sub_rogada_uf_nome": "Distrito Federal",
    }


async def test_an_item_s_row_holds_each_value_in_its_own_column(database: Database) -> None:
    _, row = await stored_rows(database)
    objects = json_of(row, "payload", "tipo_margem_preferencia", "catalogo", "categoria_item_catalogo")
    assert objects == [ITEM, {"codigo": 1}, {"id": 2}, {"id": 3}]
    assert row == {
        "numero_controle_pncp": KEY,
        "numero_item": 7,
        "descricao": "Areia",
        "material_ou_servico": "M",
        "material_ou_servico_nome": "Material",
        "quantidade": Decimal("10.0"),
        "unidade_medida": "UNIDADE",
        "valor_unitario_estimado": Decimal("41.59"),
        "valor_total": Decimal("415.9"),
        "orcamento_sigiloso": False,
        "item_categoria_id": 3,
        "item_categoria_nome": "Não se aplica",
        "criterio_julgamento_id": 1,
        "criterio_julgamento_nome": "Menor preço",
        "situacao_compra_item": 2,
        "situacao_compra_item_nome": "Homologado",
        "tipo_beneficio": 5,
        "tipo_beneficio_nome": "Não se aplica (benefício)",
        "incentivo_produtivo_basico": True,
        "exigencia_conteudo_nacional": None,
        "tem_resultado": True,
        "imagem": 0,
        "informacao_complementar": "IC",
        "ncm_nbs_codigo": "25051000",
        "ncm_nbs_descricao": "NCM",
        "patrimonio": "PAT",
        "codigo_registro_imobiliario": "CRI",
        "aplicabilidade_margem_preferencia_normal": False,
        "aplicabilidade_margem_preferencia_adicional": True,
        "percentual_margem_preferencia_normal": Decimal("1.5"),
        "percentual_margem_preferencia_adicional": Decimal("2.5"),
        "catalogo_codigo_item": "CCI",
        "data_inclusao": datetime.fromisoformat("2026-01-01T00:00:07"),
        "data_atualizacao": datetime.fromisoformat("2026-01-01T00:00:08"),
    }


async def test_a_record_with_its_key_and_stamps_alone_fills_no_other_column(database: Database) -> None:
    names = ("numeroControlePNCP", "dataPublicacaoPncp", "dataAtualizacao", "dataAtualizacaoGlobal")
    (row,) = await read(database, to_sql(CONTRATACOES.columns), [raw({name: CONTRATACAO[name] for name in names})])
    held = {name for name, value in row.items() if value is not None}
    stamps = {"data_publicacao_pncp", "data_atualizacao", "data_atualizacao_global"}
    assert held == {"numero_controle_pncp", *stamps, "payload"}


@pytest.mark.parametrize(("value", "column"), [(6, 6), ("6", 6), ("06", 6), ("", None), (None, None), (0, 0), ("0", 0)])
async def test_an_id_may_come_as_text(database: Database, value: object, column: int | None) -> None:
    row = await read_one(database, modalidadeId=value, amparoLegal={"codigo": value})
    assert (row["modalidade_id"], row["amparo_legal_codigo"]) == (column, column)
    assert (await read_item(database, tipoBeneficio=value))["tipo_beneficio"] == column


@pytest.mark.parametrize(
    ("written", "wall_clock"),
    [
        ("2026-01-01T02:00:00Z", "2025-12-31T23:00:00"),
        ("2026-01-01t02:00:00z", "2025-12-31T23:00:00"),
        ("2026-01-01T02:00:00+00:00", "2025-12-31T23:00:00"),
        ("2026-01-01T02:00:00-0300", "2026-01-01T02:00:00"),
        ("2026-01-01T02:00:00.25-03:00", "2026-01-01T02:00:00.250000"),
        ("2018-12-01T02:00:00Z", "2018-12-01T00:00:00"),  # in Brasília's last summer time
        ("2018-11-04T00:30:00", "2018-11-04T00:30:00"),  # an hour that this summer time left out
        ("2026-01-01T02:00:00.5", "2026-01-01T02:00:00.500000"),
        ("2026-01-01 02:00:00", "2026-01-01T02:00:00"),
    ],
)
async def test_a_stamp_with_an_offset_becomes_brasilia_s(database: Database, written: str, wall_clock: str) -> None:
    expected = datetime.fromisoformat(wall_clock)
    assert (await read_one(database, dataAberturaProposta=written))["data_abertura_proposta"] == expected
    assert (await read_item(database, dataInclusao=written))["data_inclusao"] == expected


@pytest.mark.parametrize(
    ("written", "number"),
    [
        (0, "0"),
        (-1.5, "-1.5"),
        ("12.50", "12.50"),
        (1e5, "100000.0"),
        ("1e5", "100000"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
    ],
)
async def test_a_number_keeps_its_value(database: Database, written: object, number: str) -> None:
    assert (await read_one(database, valorTotalEstimado=written))["valor_total_estimado"] == Decimal(number)
    assert (await read_item(database, quantidade=written))["quantidade"] == Decimal(number)


@pytest.mark.parametrize("key", ["amparoLegal", "orgaoEntidade", "unidadeOrgao", "orgaoSubRogado", "unidadeSubRogada"])
async def test_an_absent_object_leaves_its_columns_empty(database: Database, key: str) -> None:
    full, row = await read(database, to_sql(CONTRATACOES.columns), [raw(), raw(**{key: None})])
    emptied = {name for name in row if row[name] is None and full[name] is not None}
    assert emptied == {column.name for column in CONTRATACOES.columns if column.path.startswith(f"{key}.")}
    rest = set(row) - emptied - {"payload"}
    assert {name: row[name] for name in rest} == {name: full[name] for name in rest}


@pytest.mark.parametrize("key", ["tipoMargemPreferencia", "catalogo", "categoriaItemCatalogo"])
async def test_an_absent_object_of_an_item_is_null_and_not_json_s_null(database: Database, key: str) -> None:
    (name,) = (column.name for column in ITENS.columns if column.path == key)
    assert (await read_item(database, **{key: None}))[name] is None


OUTSIDE = "SELECT pg_relation_size(reltoastrelid) > 0 AS is_used FROM pg_class WHERE relname = $1"


async def test_what_readers_sum_up_is_narrow_and_the_payload_stands_beside_it(database: Database) -> None:
    """A row of ordinary length: of items, which are read by their keys, payloads stay inside."""
    record = parse_record(CONTRATACOES, raw(objetoCompra="Palavra " * 300))
    assert isinstance(record, Record)
    itens = parse_list(ITENS, b"[%s]" % raw(ITEM, descricao="Palavra " * 300), KEY)
    async with database.engine.begin() as db:
        await store_bundles(db, CONTRATACOES, [Bundle(record, itens)])

    assert await fetch(database, OUTSIDE, "contratacoes") == [{"is_used": True}]
    sizes = "SELECT pg_column_size(payload) > 2400 AS is_plain FROM contratacoes"
    assert await fetch(database, sizes) == [{"is_plain": True}]
    assert await fetch(database, OUTSIDE, "itens_contratacao") == [{"is_used": False}]
