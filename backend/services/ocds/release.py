"""Makes the compiled OCDS release of a contratação out of its rows: pure, one release from one `Process`.

The standard is OCDS 1.1 (https://standard.open-contracting.org/1.1/en/schema/reference/). What has no value is left
out. Numbers stay decimals, and identifiers stay texts.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from common.masking import mask_field
from common.resources.contratacoes import CONTRATACOES
from common.resources.resultados import INFORMED

Row = Mapping[str, Any]
Rows = Sequence[Row]

VERSION = "1.1"
CURRENCY = "BRL"
CNPJ = "BR-CNPJ"
UNKNOWN_AWARD = "Adjudicação que o PNCP não identifica"

_METHODS = {
    **dict.fromkeys((1, 3, 4, 5, 6, 7, 12, 13), "open"),  # leilão, concurso, concorrência, pregão, credenciamento
    2: "selective",  # diálogo competitivo
    8: "limited",  # dispensa
    9: "direct",  # inexigibilidade
}
_LOT_STATUS = {1: "active", 2: "complete", 3: "cancelled", 4: "unsuccessful", 5: "unsuccessful"}
_TENDER_STATUS = {1: "active", 2: "cancelled", 3: "cancelled"}
_CATEGORIES = {"M": "goods", "S": "services"}
# The numbers of the portal's table of kinds of documents.
_DOCUMENTS = {
    1: "tenderNotice",
    2: "biddingDocuments",
    3: "contractDraft",
    4: "technicalSpecifications",
    7: "needsAssessment",
    9: "riskProvisions",
    12: "contractSigned",
}
_CNPJ = re.compile(r"[0-9A-Z]{12}[0-9]{2}")
_MONEY = re.compile(r"-?[0-9]{1,3}(\.[0-9]{3})*(,[0-9]+)?|-?[0-9]+(,[0-9]+)?")
_DAY = re.compile(r"([0-9]{2})/([0-9]{2})/([0-9]{4})")
_ATA = re.compile(r"(.+/[0-9]{4})-[0-9]{6}")


@dataclass
class Process:
    """A contratação with the rows that belong to it; of contratos by their control numbers.

    `people`: the number that the mirror gives a supplier, by CPF, CNPJ or other number.
    """

    contratacao: Row
    itens: Rows = ()
    resultados: Rows = ()
    arquivos: Rows = ()
    contratos: Rows = ()
    atas: Rows = ()
    termos: Mapping[str, Rows] = field(default_factory=dict)
    arquivos_contrato: Mapping[str, Rows] = field(default_factory=dict)
    instrumentos: Mapping[str, Rows] = field(default_factory=dict)
    people: Mapping[str, int] = field(default_factory=dict)


def to_ocid(prefix: str, key: str) -> str:
    """The identifier of a contratação's process."""
    return f"{prefix}-{key.replace('/', '-')}"


def parse_ocid(prefix: str, ocid: str) -> str | None:
    """The control number that an ocid of this publisher names; `None` where it is none."""
    if not ocid.startswith(f"{prefix}-"):
        return None
    before, _, year = ocid[len(prefix) + 1 :].rpartition("-")
    key = f"{before}/{year}"
    return key if re.fullmatch(CONTRATACOES.key_pattern, key) else None


def to_release(process: Process, prefix: str) -> dict[str, Any]:
    """The compiled release of a contratação."""
    row = process.contratacao
    ocid, changed = to_ocid(prefix, row["numero_controle_pncp"]), to_moment(_changed_at(process))
    parties = _Parties(process.people)
    buyer = parties.add_orgao(row, "orgao_entidade", "buyer")
    awards = _awards(process, parties)
    contracts = _contracts(process, parties, prefix, awards)
    release = {
        "ocid": ocid,
        "id": f"{ocid}-{changed}",
        "date": changed,
        "tag": ["compiled"],
        "initiationType": "tender",
        "language": "pt",
        "buyer": buyer,
        "tender": _tender(process, parties),
        "awards": list(awards.values()),
        "contracts": contracts,
        "parties": parties.to_list(),
    }
    made: dict[str, Any] = _without_empty(release)
    return made


# --- values -----------------------------------------------------------------------------------------------------


def to_moment(value: date | None, *, at_end: bool = False) -> str | None:
    """A moment of Brasília's clock, or an end of a day, with its offset: UTC-3 all year since 2019."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return f"{value.replace(microsecond=0).isoformat()}-03:00"
    return f"{value.isoformat()}T{'23:59:59' if at_end else '00:00:00'}-03:00"


def _period(start: date | None, end: date | None) -> dict[str, Any]:
    return {"startDate": to_moment(start), "endDate": to_moment(end, at_end=True)}


def _number(value: Decimal | None) -> Decimal | None:
    return value if value is not None and value.is_finite() else None


def _value(amount: Decimal | None) -> dict[str, Any] | None:
    amount = _number(amount)
    return None if amount is None else {"amount": amount, "currency": CURRENCY}


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [each for each in map(_number, amounts) if each is not None]
    return sum(known, Decimal()) if known else None


def _estimate(amount: Decimal | None, *, is_secret: bool) -> dict[str, Any] | None:
    """An estimated value; the portal writes 0 for one that is secret."""
    return None if is_secret and amount == 0 else _value(amount)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        made = {name: _without_empty(inner) for name, inner in value.items()}
        return {name: inner for name, inner in made.items() if inner not in (None, "", [], {})}
    if isinstance(value, list):
        return [inner for inner in map(_without_empty, value) if inner not in (None, "", {})]
    return value.strip() if isinstance(value, str) else value


def _changed_at(process: Process) -> datetime:
    """The newest stamp of what the release is made of; the contratação always has one."""
    of_contratos = (rows for each in (process.termos, process.instrumentos) for rows in each.values())
    groups = ([process.contratacao], process.itens, process.resultados, process.contratos, process.atas, *of_contratos)
    stamps = ("data_atualizacao_global", "data_atualizacao")
    newest: datetime = max(row[name] for rows in groups for row in rows for name in stamps if row.get(name) is not None)
    return newest


# --- parties ----------------------------------------------------------------------------------------------------


class _Parties:
    """The parties of a release, each once with all of its roles."""

    def __init__(self, people: Mapping[str, int]) -> None:
        self._people = people
        self._found: dict[str, dict[str, Any]] = {}
        self._unnumbered: dict[tuple[Any, Any], str] = {}

    def _add(self, party: dict[str, Any], role: str) -> dict[str, Any]:
        known = self._found.setdefault(party["id"], {**party, "roles": []})
        if role not in known["roles"]:
            known["roles"].append(role)
        return {"id": known["id"], "name": known.get("name")}

    def add_orgao(self, row: Row, prefix: str, role: str) -> dict[str, Any] | None:
        """The órgão that a record names in columns with this prefix."""
        cnpj = row[f"{prefix}_cnpj"]
        if not cnpj:
            return None
        name = row[f"{prefix}_razao_social"]
        identifier = {"scheme": CNPJ, "id": cnpj, "legalName": name}
        return self._add({"id": f"{CNPJ}-{cnpj}", "name": name, "identifier": identifier}, role)

    def add_unidade(self, row: Row, role: str) -> dict[str, Any] | None:
        """The unit of the órgão, with its place."""
        cnpj, code = row["orgao_entidade_cnpj"], row["unidade_orgao_codigo_unidade"]
        if not cnpj or not code:
            return None
        address = {
            "locality": row["unidade_orgao_municipio_nome"],
            "region": row["unidade_orgao_uf_sigla"],
            "countryName": "Brasil",
        }
        identifier = {"scheme": CNPJ, "id": cnpj, "legalName": row["orgao_entidade_razao_social"]}
        name = row["unidade_orgao_nome_unidade"]
        party = {"id": f"{CNPJ}-{cnpj}-{code}", "name": name, "identifier": identifier, "address": address}
        return self._add(party, role)

    def add_person(self, kind: Any, ni: str | None, name: str | None, role: str) -> dict[str, Any] | None:
        """A supplier or payee. A natural person has no identifier, and an id that says nothing of the CPF."""
        ni = (ni or "").strip()
        if not ni and not name:
            return None
        shown = mask_field(name, kind)
        if _CNPJ.fullmatch(ni) and mask_field(ni, kind) == ni:
            company = {"scheme": CNPJ, "id": ni, "legalName": shown}
            return self._add({"id": f"{CNPJ}-{ni}", "name": shown, "identifier": company}, role)
        identifier = {"id": ni, "legalName": shown} if mask_field(ni, kind) == ni else None
        return self._add({"id": self._id_of(kind, ni, name), "name": shown, "identifier": identifier}, role)

    def _id_of(self, kind: Any, ni: str, name: str | None) -> str:
        if ni in self._people:
            return f"fornecedor-{self._people[ni]}"
        return self._unnumbered.setdefault((kind, ni or name), f"sem-numero-{len(self._unnumbered) + 1}")

    def to_list(self) -> list[dict[str, Any]]:
        """All parties, in the order in which they were named."""
        return list(self._found.values())


def _supplier(row: Row, parties: _Parties) -> dict[str, Any] | None:
    return parties.add_person(row["tipo_pessoa"], row["ni_fornecedor"], row["nome_razao_social_fornecedor"], "supplier")


# --- tender -----------------------------------------------------------------------------------------------------


def _tender(process: Process, parties: _Parties) -> dict[str, Any]:
    row = process.contratacao
    status = _TENDER_STATUS.get(row["situacao_compra_id"])
    kinds = {each["material_ou_servico"] for each in process.itens}
    is_secret = not process.itens or any(each["orcamento_sigiloso"] for each in process.itens)
    return {
        "id": row["numero_controle_pncp"],
        "title": " ".join(filter(None, (row["tipo_instrumento_convocatorio_nome"], row["numero_compra"]))),
        "description": row["objeto_compra"],
        "status": "complete" if status == "active" and row["valor_total_homologado"] is not None else status,
        "procuringEntity": parties.add_unidade(row, "procuringEntity"),
        "procurementMethod": _METHODS.get(row["modalidade_id"]),
        "procurementMethodDetails": row["modalidade_nome"],
        "procurementMethodRationale": row["amparo_legal_nome"],
        "mainProcurementCategory": _CATEGORIES.get(str(next(iter(kinds)))) if len(kinds) == 1 else None,
        "value": _estimate(row["valor_total_estimado"], is_secret=is_secret),
        "tenderPeriod": _period(row["data_abertura_proposta"], row["data_encerramento_proposta"]),
        "items": [_item(each) for each in process.itens],
        "lots": [_lot(each) for each in process.itens],
        "documents": _documents(process.arquivos),
    }


def _item(row: Row) -> dict[str, Any]:
    number, secret = str(row["numero_item"]), bool(row["orcamento_sigiloso"])
    return {
        "id": number,
        "description": row["descricao"],
        "classification": {"scheme": "NCM-NBS", "id": row["ncm_nbs_codigo"], "description": row["ncm_nbs_descricao"]}
        if row["ncm_nbs_codigo"]
        else None,
        "quantity": _number(row["quantidade"]),
        "unit": {
            "name": row["unidade_medida"],
            "value": _estimate(row["valor_unitario_estimado"], is_secret=secret),
        },
        "relatedLot": number,
    }


def _lot(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["numero_item"]),
        "title": row["descricao"],
        "status": _LOT_STATUS.get(row["situacao_compra_item"]),
        "value": _estimate(row["valor_total"], is_secret=bool(row["orcamento_sigiloso"])),
    }


def _documents(rows: Rows) -> list[dict[str, Any]]:
    """The documents that the portal has not withdrawn."""
    return [
        {
            "id": str(row["sequencial_documento"]),
            "documentType": _DOCUMENTS.get(row["tipo_documento_id"]),
            "title": row["titulo"],
            "description": row["tipo_documento_nome"],
            "url": row["url"] if str(row["url"]).startswith(("http://", "https://")) else None,
            "datePublished": to_moment(row["data_publicacao_pncp"]),
            "language": "pt",
        }
        for row in rows
        if row["status_ativo"] is not False
    ]


# --- awards -----------------------------------------------------------------------------------------------------


def _awards(process: Process, parties: _Parties) -> dict[str, dict[str, Any]]:
    """An award of each supplier and sequence of results, with all items that it won there, by its id."""
    won: defaultdict[tuple[str, int], list[Row]] = defaultdict(list)
    suppliers: dict[str, dict[str, Any]] = {}
    for row in process.resultados:
        if row["situacao_compra_item_resultado_id"] == INFORMED:
            supplier = _supplier(row, parties) or {}
            suppliers[supplier.get("id", "")] = supplier
            won[supplier.get("id", ""), row["sequencial_resultado"]].append(row)
    itens = {row["numero_item"]: row for row in process.itens}
    return {
        award_id: _award(award_id, rows, suppliers[supplier], itens)
        for (supplier, sequence), rows in won.items()
        for award_id in [f"{supplier or 'sem-fornecedor'}-{sequence}"]
    }


def _award(award_id: str, rows: Rows, supplier: dict[str, Any], itens: Mapping[int, Row]) -> dict[str, Any]:
    numbers = [row["numero_item"] for row in rows]
    return {
        "id": award_id,
        "status": "active",
        "date": to_moment(max((row["data_resultado"] for row in rows if row["data_resultado"]), default=None)),
        "value": _value(_sum(row["valor_total_homologado"] for row in rows)),
        "suppliers": [supplier],
        "items": [_won_item(row, itens.get(row["numero_item"])) for row in rows],
        "relatedLots": [str(number) for number in numbers if number in itens],
    }


def _won_item(row: Row, item: Row | None) -> dict[str, Any]:
    number = str(row["numero_item"])
    return {
        "id": number,
        "description": item and item["descricao"],
        "quantity": _number(row["quantidade_homologada"]),
        "unit": {"name": item and item["unidade_medida"], "value": _value(row["valor_unitario_homologado"])},
        "relatedLot": number if item else None,
    }


# --- contracts --------------------------------------------------------------------------------------------------


def _contracts(
    process: Process, parties: _Parties, prefix: str, awards: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Contratos and atas. One whose award is not known gets an award of its own, without a value: OCDS wants one."""
    of_supplier: defaultdict[str, list[str]] = defaultdict(list)
    for award_id, award in awards.items():
        for supplier in award["suppliers"]:
            of_supplier[supplier.get("id", "")].append(award_id)
    made = []
    for row in process.contratos:
        supplier = _supplier(row, parties)
        known = of_supplier[supplier["id"]] if supplier else []
        own = f"contrato-{row['numero_controle_pncp']}"
        award_id = known[0] if len(known) == 1 else own
        if award_id == own:
            awards[own] = {"id": own, "title": UNKNOWN_AWARD, "status": "active", "suppliers": [supplier]}
        made.append(_contract(row, award_id, process, parties, prefix))
    for row in process.atas:  # which say nothing of their suppliers
        own = f"ata-{row['numero_controle_pncp_ata']}"
        awards[own] = {"id": own, "title": UNKNOWN_AWARD, "status": "cancelled" if row["cancelado"] else "active"}
        made.append(_framework(row, own))
    return made


def _contract(row: Row, award_id: str, process: Process, parties: _Parties, prefix: str) -> dict[str, Any]:
    key = row["numero_controle_pncp"]
    payer = parties.add_orgao(row, "orgao_entidade", "payer") if process.instrumentos.get(key) else None
    return {
        "id": key,
        "awardID": award_id,
        "title": " ".join(filter(None, (row["tipo_contrato_nome"], row["numero_contrato_empenho"]))),
        "description": row["objeto_contrato"],
        "period": _period(row["data_vigencia_inicio"], row["data_vigencia_fim"]),
        "value": _value(row["valor_global"]),
        "dateSigned": to_moment(row["data_assinatura"]),
        "documents": _documents(process.arquivos_contrato.get(key, ())),
        "amendments": [_amendment(each) for each in process.termos.get(key, ())],
        "implementation": {
            "transactions": [_transaction(each, payer, parties) for each in process.instrumentos.get(key, ())]
        },
        "relatedProcesses": _framework_of(row, prefix),
    }


def _framework_of(row: Row, prefix: str) -> list[dict[str, Any]]:
    """The process of the ata that a contrato comes from, where that is another one."""
    found = _ATA.fullmatch(row["numero_controle_pncp_ata"] or "")
    if found is None or found[1] == row["numero_controle_pncp_compra"]:
        return []
    related = {"relationship": ["framework"], "scheme": "ocid", "identifier": to_ocid(prefix, found[1])}
    return [{"id": row["numero_controle_pncp_ata"], **related}]


def _framework(row: Row, award_id: str) -> dict[str, Any]:
    return {
        "id": row["numero_controle_pncp_ata"],
        "awardID": award_id,
        "title": " ".join(filter(None, ("Ata de registro de preços", row["numero_ata_registro_preco"]))),
        "description": row["objeto_contratacao"],
        "status": "cancelled" if row["cancelado"] else None,
        "period": _period(row["vigencia_inicio"], row["vigencia_fim"]),
        "dateSigned": to_moment(row["data_assinatura"]),
    }


def _amendment(row: Row) -> dict[str, Any]:
    return {
        "id": str(row["sequencial_termo_contrato"]),
        "date": to_moment(row["data_assinatura"] or row["data_publicacao_pncp"]),
        "description": " ".join(
            filter(None, (row["tipo_termo_contrato_nome"], row["numero_termo_contrato"], row["objeto_termo_contrato"]))
        ),
        "rationale": row["fundamento_legal"],
    }


def _transaction(row: Row, payer: dict[str, Any] | None, parties: _Parties) -> dict[str, Any]:
    return {
        "id": row["chave"],
        "date": to_moment(row["data_emissao_documento"]) or _written_day(row["nota_fiscal_emissao"]),
        "value": _written_money(row["nota_fiscal_valor"]),
        "payer": payer,
        "payee": parties.add_person(None, row["nota_fiscal_ni_emitente"], row["nota_fiscal_nome_emitente"], "payee"),
    }


def _written_money(written: str | None) -> dict[str, Any] | None:
    """`4.920,00`, as the portal writes the value of an invoice."""
    text = (written or "").strip()
    return _value(Decimal(text.replace(".", "").replace(",", "."))) if _MONEY.fullmatch(text) else None


def _written_day(written: str | None) -> str | None:
    """`20/01/2025`, as the portal writes the day of an invoice."""
    found = _DAY.match((written or "").strip())
    try:
        return found and to_moment(date(int(found[3]), int(found[2]), int(found[1])))
    except ValueError:
        return None
