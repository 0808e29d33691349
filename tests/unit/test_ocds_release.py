"""The OCDS release of a contratação, made of plain rows."""

import json
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from backend.services.entities.rows import to_json
from backend.services.ocds.release import Process, parse_ocid, to_ocid, to_release
from common.resources.atas import ATAS
from common.resources.contratacoes import ARQUIVOS, CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.derive import stored_columns
from common.resources.description import Child, Resource
from common.resources.instrumentos_cobranca import INSTRUMENTOS_COBRANCA
from common.resources.itens import ITENS
from common.resources.resultados import RESULTADOS
from common.resources.termos import TERMOS

PREFIX = "ocds-abc123"
KEY = "03130778000103-1-000024/2025"
CONTRATO = "03130778000103-2-000007/2025"
CPF = "52998224725"
AT = datetime(2025, 3, 10, 9, 30, 15)


def row(described: Resource | Child, **given: Any) -> dict[str, Any]:
    """A row whose other columns are null."""
    columns = stored_columns(described) if isinstance(described, Resource) else described.columns
    names = {column.name for column in columns}
    assert set(given) <= names | {"numero_controle_pncp"}
    return {**dict.fromkeys(names), **given}


def contratacao(**given: Any) -> dict[str, Any]:
    stamps = {"data_atualizacao": AT, "data_atualizacao_global": AT, "data_publicacao_pncp": AT}
    return row(CONTRATACOES, **{"numero_controle_pncp": KEY, **stamps, **given})


def item(number: int, **given: Any) -> dict[str, Any]:
    return row(ITENS, numero_item=number, **given)


def resultado(number: int, ni: str, sequence: int = 1, **given: Any) -> dict[str, Any]:
    kind = {"tipo_pessoa": "PF" if len(ni) == 11 else "PJ", "nome_razao_social_fornecedor": f"Nome {ni[-2:]}"}
    common = {"ni_fornecedor": ni, "situacao_compra_item_resultado_id": 1, **kind}
    return row(RESULTADOS, numero_item=number, sequencial_resultado=sequence, **{**common, **given})


def contrato(ni: str, **given: Any) -> dict[str, Any]:
    named = {"tipo_pessoa": "PJ", "ni_fornecedor": ni, "nome_razao_social_fornecedor": "Empresa"}
    return row(CONTRATOS, **{"numero_controle_pncp": CONTRATO, "numero_controle_pncp_compra": KEY, **named, **given})


def made(process: Process) -> Any:
    """The release as readers get it; a number that is none would be an error."""
    return json.loads(to_json(to_release(process, PREFIX)), parse_float=Decimal, parse_constant=pytest.fail)


def ids(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in rows]


def test_an_ocid_keeps_the_zeros_of_a_cnpj_and_names_its_contratacao() -> None:
    ocid = to_ocid(PREFIX, KEY)
    assert ocid == "ocds-abc123-03130778000103-1-000024-2025"
    assert parse_ocid(PREFIX, ocid) == KEY
    for other in (ocid.replace("abc", "abd"), f"{ocid}x", ocid.replace("-1-", "-2-"), PREFIX, f"{PREFIX}-"):
        assert parse_ocid(PREFIX, other) is None


def test_cnpjs_are_texts_with_their_zeros() -> None:
    release = made(
        Process(contratacao(orgao_entidade_cnpj="03130778000103"), resultados=[resultado(1, "00394460000141")])
    )
    assert release["ocid"] == "ocds-abc123-03130778000103-1-000024-2025"
    assert [each["identifier"]["id"] for each in release["parties"]] == ["03130778000103", "00394460000141"]
    assert ids(release["parties"]) == ["BR-CNPJ-03130778000103", "BR-CNPJ-00394460000141"]


def test_a_release_with_nothing_known_has_a_date_and_no_empty_values() -> None:
    release = made(Process(contratacao()))
    assert release == {
        "ocid": f"{PREFIX}-03130778000103-1-000024-2025",
        "id": f"{PREFIX}-03130778000103-1-000024-2025-2025-03-10T09:30:15-03:00",
        "date": "2025-03-10T09:30:15-03:00",
        "tag": ["compiled"],
        "initiationType": "tender",
        "language": "pt",
        "tender": {"id": KEY},
    }


def test_the_date_is_that_of_the_newest_part() -> None:
    later = datetime(2025, 5, 1, 8)
    release = made(Process(contratacao(), contratos=[contrato("00394460000141", data_atualizacao=later)]))
    assert release["date"] == "2025-05-01T08:00:00-03:00"


def test_numbers_keep_their_decimals_and_those_that_are_none_are_left_out() -> None:
    itens = [
        item(1, quantidade=Decimal("0.3750"), unidade_medida="kg", valor_unitario_estimado=Decimal("0.1")),
        item(2, quantidade=Decimal("NaN"), unidade_medida="un", valor_unitario_estimado=Decimal("NaN")),
        item(3, quantidade=Decimal("99999999999999999999.99")),
    ]
    written = to_json(to_release(Process(contratacao(valor_total_estimado=Decimal("NaN")), itens=itens), PREFIX))
    assert b"NaN" not in written
    assert b'"quantity":0.3750' in written
    assert b'"quantity":99999999999999999999.99' in written
    tender = made(Process(contratacao(), itens=itens))["tender"]
    assert tender["items"][1] == {"id": "2", "unit": {"name": "un"}, "relatedLot": "2"}
    assert tender["items"][0]["unit"]["value"] == {"amount": Decimal("0.1"), "currency": "BRL"}


@pytest.mark.parametrize(
    ("value", "secret", "shown"),
    [("0", True, None), ("0", False, {"amount": 0, "currency": "BRL"}), ("5", True, {"amount": 5, "currency": "BRL"})],
)
def test_a_secret_budget_of_zero_is_no_value(value: str, secret: bool, shown: Any) -> None:
    itens = [item(1, orcamento_sigiloso=secret, valor_total=Decimal(value), valor_unitario_estimado=Decimal(value))]
    tender = made(Process(contratacao(valor_total_estimado=Decimal(value)), itens=itens))["tender"]
    assert tender.get("value") == tender["lots"][0].get("value") == shown
    assert tender["items"][0].get("unit", {}).get("value") == shown


@pytest.mark.parametrize(
    ("code", "method"), [(4, "open"), (7, "open"), (8, "limited"), (9, "direct"), (13, "open"), (99, None)]
)
def test_the_method_is_that_of_the_modalidade(code: int, method: str | None) -> None:
    tender = made(Process(contratacao(modalidade_id=code, modalidade_nome="Como o portal diz")))["tender"]
    assert (tender.get("procurementMethod"), tender["procurementMethodDetails"]) == (method, "Como o portal diz")


def test_an_award_is_all_that_a_supplier_won_in_a_sequence_and_cancelled_results_are_none() -> None:
    one, other = "00394460000141", "12345678000190"
    results = [
        resultado(1, one, valor_total_homologado=Decimal("10.10"), data_resultado=date(2025, 3, 1)),
        resultado(2, one, valor_total_homologado=Decimal("0.005")),
        resultado(2, one, sequence=2, valor_total_homologado=Decimal(7)),
        resultado(3, other, valor_total_homologado=Decimal(3)),
        resultado(4, other, situacao_compra_item_resultado_id=2, valor_total_homologado=Decimal(99)),
    ]
    release = made(Process(contratacao(), itens=[item(n) for n in (1, 2, 3, 4)], resultados=results))
    assert ids(release["awards"]) == [f"BR-CNPJ-{one}-1", f"BR-CNPJ-{one}-2", f"BR-CNPJ-{other}-1"]
    first = release["awards"][0]
    assert (first["value"]["amount"], first["relatedLots"], ids(first["items"])) == (
        Decimal("10.105"),
        ["1", "2"],
        ["1", "2"],
    )
    assert first["date"] == "2025-03-01T00:00:00-03:00"
    assert first["suppliers"] == [{"id": f"BR-CNPJ-{one}", "name": "Nome 41"}]


def test_a_contract_names_the_one_award_of_its_supplier_or_has_one_of_its_own_without_a_value() -> None:
    one, other, third = "00394460000141", "12345678000190", "46675997000180"
    results = [resultado(1, one), resultado(2, other, sequence=1), resultado(2, other, sequence=2)]
    contratos = [
        contrato(ni, numero_controle_pncp=f"c{n}", valor_global=Decimal(n)) for n, ni in enumerate((one, other, third))
    ]
    release = made(Process(contratacao(), resultados=results, contratos=contratos))
    assert [each["awardID"] for each in release["contracts"]] == [f"BR-CNPJ-{one}-1", "contrato-c1", "contrato-c2"]
    own = {each["id"]: each for each in release["awards"] if each["id"].startswith("contrato-")}
    assert {each["suppliers"][0]["id"] for each in own.values()} == {f"BR-CNPJ-{other}", f"BR-CNPJ-{third}"}
    assert all("value" not in each for each in own.values())


def test_termos_invoices_atas_and_documents_hang_where_the_standard_has_them() -> None:
    process = Process(
        contratacao(),
        arquivos=[
            row(ARQUIVOS, sequencial_documento=1, url="https://pncp.gov.br/a", tipo_documento_id=2, titulo="Edital"),
            row(ARQUIVOS, sequencial_documento=2, status_ativo=False),
        ],
        contratos=[
            contrato(
                "00394460000141",
                orgao_entidade_cnpj="03130778000103",
                fruto_adesao=True,
                numero_controle_pncp_ata="03112386000111-1-000001/2024-000002",
            )
        ],
        atas=[row(ATAS, numero_controle_pncp_ata=f"{KEY}-000001", vigencia_fim=date(2026, 1, 2), cancelado=True)],
        termos={CONTRATO: [row(TERMOS, sequencial_termo_contrato=1, data_assinatura=date(2025, 4, 1))]},
        instrumentos={
            CONTRATO: [
                row(
                    INSTRUMENTOS_COBRANCA,
                    chave="k-1",
                    nota_fiscal_valor="4.920,05",
                    nota_fiscal_emissao="20/01/2025",
                    nota_fiscal_ni_emitente="00394460000141",
                ),
                row(INSTRUMENTOS_COBRANCA, chave="k-2", nota_fiscal_valor="?", nota_fiscal_emissao="31/02/2025"),
            ]
        },
    )
    release = made(process)
    assert release["tender"]["documents"] == [
        {
            "id": "1",
            "documentType": "biddingDocuments",
            "title": "Edital",
            "url": "https://pncp.gov.br/a",
            "language": "pt",
        }
    ]
    contract, ata = release["contracts"]
    assert contract["amendments"] == [{"id": "1", "date": "2025-04-01T00:00:00-03:00"}]
    first, second = contract["implementation"]["transactions"]
    assert first["value"] == {"amount": Decimal("4920.05"), "currency": "BRL"}
    assert (first["date"], first["payee"]["id"]) == ("2025-01-20T00:00:00-03:00", "BR-CNPJ-00394460000141")
    assert second == {"id": "k-2", "payer": {"id": "BR-CNPJ-03130778000103"}}
    assert contract["relatedProcesses"][0]["identifier"] == f"{PREFIX}-03112386000111-1-000001-2024"
    assert (ata["id"], ata["status"], ata["period"]) == (
        f"{KEY}-000001",
        "cancelled",
        {"endDate": "2026-01-02T23:59:59-03:00"},
    )
    assert {each["awardID"] for each in release["contracts"]} <= set(ids(release["awards"]))


def test_parties_are_there_once_with_all_roles_and_ids_are_unique() -> None:
    one = "03130778000103"
    process = Process(
        contratacao(orgao_entidade_cnpj=one),
        itens=[item(1), item(2)],
        resultados=[resultado(1, one), resultado(2, one)],
        contratos=[contrato(one)],
    )
    release = made(process)
    for rows in (release["parties"], release["tender"]["items"], release["tender"]["lots"], release["awards"]):
        assert len(set(ids(rows))) == len(rows)
    assert release["parties"][0]["roles"] == ["buyer", "supplier"]


@pytest.mark.parametrize("kind", ["PF", None])
def test_a_natural_person_has_a_stable_id_that_says_nothing_of_the_cpf(kind: str | None) -> None:
    named = {"tipo_pessoa": kind, "nome_razao_social_fornecedor": f"MARIA {CPF}"}
    process = Process(
        contratacao(),
        resultados=[resultado(1, CPF, **named)],
        contratos=[contrato(CPF, **named)],
        people={CPF: 31},
    )
    written = to_json(to_release(process, PREFIX)).decode()
    assert CPF not in written
    release = json.loads(written)
    assert release["parties"] == [{"id": "fornecedor-31", "name": "MARIA ***.982.247-**", "roles": ["supplier"]}]
    assert [each["id"] for each in release["awards"]] == ["fornecedor-31-1"]
    process.people = {}
    assert CPF not in to_json(to_release(process, PREFIX)).decode()
