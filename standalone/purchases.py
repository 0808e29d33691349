"""The purchases of a demonstration: an ERP in SQLite and a sheet of sales, beside what the simulated portal publishes.

Most of them are as the portal shows them. Some differ on purpose, one of each kind, so that the reconciliation has
something to find.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import rustpy_xlsxwriter

from common.entities import reconciliation

SHEET, SHEET_WITH_FAULTS, RECORDS, ERP = "vendas.xlsx", "vendas-com-erros.xlsx", "vendas.json", "erp.sqlite"
"""The files of a demonstration."""
IN_ERP = (
    *[reconciliation.EQUAL] * 5,
    reconciliation.DIFFERS,
    reconciliation.LATE,
    reconciliation.MISSING,
    reconciliation.UNNAMED,
    reconciliation.UNCOMPARED,
    reconciliation.AMBIGUOUS,
)
IN_SHEET = (*[reconciliation.EQUAL] * 4, reconciliation.DIFFERS, reconciliation.MISSING)
"""What the reconciliation is to say of each purchase, in the order of their numbers."""
SUPPLIERS = {"11222333000181": "Comercial Alfa Ltda.", "11444777000161": "Beta Serviços e Papelaria Ltda."}
PRODUCTS = {"P-01": ("Caneta azul", "CX"), "P-02": ("Papel A4", "RM"), "P-03": ("Serviço de entrega", "UN")}
TOO_MUCH = 1000.0
"""What a purchase that differs is more than on the portal."""
NO_SUCH_NUMBER = 999_000
FAR_BEYOND_DEADLINE = 15
_SCHEMA = """
    CREATE TABLE FORNECEDOR (CNPJ TEXT PRIMARY KEY, RAZAO_SOCIAL TEXT NOT NULL);
    CREATE TABLE COMPRA (
        NUMERO TEXT PRIMARY KEY, ORGAO_CNPJ TEXT NOT NULL, CONTROLE_PNCP TEXT, PROCESSO TEXT,
        FORNECEDOR TEXT REFERENCES FORNECEDOR, OBJETO TEXT, VALOR NUMERIC, ASSINADA_EM TEXT,
        CANCELADA INTEGER NOT NULL DEFAULT 0, ALTERADO_EM TEXT NOT NULL);
"""
_INSERT = """
    INSERT INTO COMPRA
           (NUMERO, ORGAO_CNPJ, CONTROLE_PNCP, PROCESSO, FORNECEDOR, OBJETO, VALOR, ASSINADA_EM, ALTERADO_EM)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
Published = Mapping[str, Any]
"""A contratação as the portal publishes it."""


@dataclass(frozen=True)
class Purchase:
    """A purchase of one's own, with what the reconciliation is to say of it."""

    number: str
    situation: str
    orgao: Published
    control_number: str | None
    process: str | None
    subject: str
    value: float | None
    signed_on: date

    @property
    def cnpj(self) -> str:
        """Of the órgão that bought."""
        return str(self.orgao["cnpj"])


@dataclass
class _Pool:
    """Contratações that were published on the days that a demonstration mirrors whole, each to be used once."""

    records: Sequence[Published]
    left: Iterator[Published] = field(init=False)

    def __post_init__(self) -> None:
        """Those of the órgãos with most contratações first, but for one each, which only the portal has."""
        known = Counter(each["orgaoEntidade"]["cnpj"] for each in self.records)
        usable = [each for each in self.records if (each["valorTotalHomologado"] or 0) > TOO_MUCH]
        ordered = sorted(
            usable,
            key=lambda each: (
                -known[each["orgaoEntidade"]["cnpj"]],
                each["orgaoEntidade"]["cnpj"],
                each["numeroControlePNCP"],
            ),
        )
        self.left = iter(ordered[1:])

    def of_same_process(self) -> Published | None:
        """One of several contratações of an órgão, a year and a process."""
        known = Counter(map(_process_of, self.records))
        return next((each for each in self.records if known[_process_of(each)] > 1), None)


def _process_of(record: Published) -> tuple[str, int, str]:
    return record["orgaoEntidade"]["cnpj"], record["anoCompra"], record["processo"]


def plan(records: Sequence[Published], today: date) -> tuple[list[Purchase], list[Purchase]]:
    """The purchases of the ERP and those of the sheet. Where the portal has too few contratações, so many fewer."""
    pool = _Pool(records)
    erp = [_purchase(f"C-{number:03}", each, pool, today) for number, each in enumerate(IN_ERP, 1)]
    sheet = [_purchase(f"V-{number:03}", each, pool, today) for number, each in enumerate(IN_SHEET, 101)]
    return [each for each in erp if each], [each for each in sheet if each]


def _purchase(number: str, situation: str, pool: _Pool, today: date) -> Purchase | None:
    record = pool.of_same_process() if situation == reconciliation.AMBIGUOUS else next(pool.left, None)
    if record is None:
        return None
    control_number: str | None = record["numeroControlePNCP"]
    value: float | None = record["valorTotalHomologado"]
    signed_on = date.fromisoformat(record["dataPublicacaoPncp"][:10])
    long_ago = timedelta(days=reconciliation.DEADLINE_DAYS + FAR_BEYOND_DEADLINE)
    match situation:
        case reconciliation.DIFFERS:
            value = round((value or 0) + TOO_MUCH, 2)
        case reconciliation.LATE:
            signed_on -= long_ago
        case reconciliation.MISSING:
            cnpj, year = record["orgaoEntidade"]["cnpj"], record["anoCompra"]
            control_number, signed_on = f"{cnpj}-1-{NO_SUCH_NUMBER + int(number[2:])}/{year}", today - long_ago
        case reconciliation.UNCOMPARED:
            value = None
        case reconciliation.UNNAMED | reconciliation.AMBIGUOUS:
            control_number = None
    return Purchase(
        number,
        situation,
        {**record["orgaoEntidade"], **record["unidadeOrgao"]},
        control_number,
        record["processo"] if situation == reconciliation.AMBIGUOUS else None,
        record["objetoCompra"],
        value,
        signed_on,
    )


# --- the ERP ----------------------------------------------------------------------------------------------------


def write_erp(path: Path, purchases: Iterable[Purchase], now: datetime) -> None:
    """A database of another system, with suppliers and purchases."""
    suppliers = list(SUPPLIERS)
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(_SCHEMA)
        db.executemany("INSERT INTO FORNECEDOR VALUES (?, ?)", SUPPLIERS.items())
        for place, each in enumerate(purchases):
            supplier = suppliers[place % len(suppliers)]
            values = (each.cnpj, each.control_number, each.process, supplier, each.subject, each.value)
            changed_at = now.replace(tzinfo=None).isoformat(" ", "seconds")
            db.execute(_INSERT, (each.number, *values, each.signed_on.isoformat(), changed_at))


# --- the sheet --------------------------------------------------------------------------------------------------


def rows_of(purchases: Iterable[Purchase]) -> list[dict[str, Any]]:
    """The rows of the sheet: of each purchase an item or two, which come to its value."""
    rows = []
    for place, each in enumerate(purchases):
        assert each.value is not None  # noqa: S101  # of the sheet's all have one
        first = round(each.value * 0.6, 2)
        parts = [each.value] if place % 3 == 0 else [first, round(each.value - first, 2)]
        for item, part in enumerate(parts, 1):
            code = list(PRODUCTS)[(place + item) % len(PRODUCTS)]
            name, unit = PRODUCTS[code]
            rows.append(
                {
                    "Nota": each.number,
                    "Data": each.signed_on,
                    "CNPJ do cliente": each.cnpj,
                    "Cliente": each.orgao["razaoSocial"],
                    "Município": each.orgao["municipioNome"],
                    "UF": each.orgao["ufSigla"],
                    "Contratação": each.control_number,
                    "Objeto": each.subject,
                    "Valor da compra": each.value,
                    "Situação": "F",
                    "Item": item,
                    "Código do produto": code,
                    "Produto": name,
                    "Unidade": unit,
                    "Quantidade": item * 10,
                    "Valor do item": part,
                }
            )
    return rows


def write_sheet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """The rows as a spreadsheet."""
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    rustpy_xlsxwriter.write_worksheet(cells, str(path), "Vendas", bold_headers=True, datetime_format="dd/mm/yyyy")


def _cell(value: Any) -> Any:
    return datetime.combine(value, datetime.min.time()) if isinstance(value, date) else value


def with_faults(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Some of the rows, of which three have a CNPJ, a day and a situation that cannot be right."""
    faults: Sequence[dict[str, Any]] = (
        {"CNPJ do cliente": "11.222.333/0001-82"},
        {"Data": "31/02/2026"},
        {"Situação": "X"},
        {},
    )
    return [{**row, **fault} for row, fault in zip(rows, faults, strict=False)]


def write_records(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """The rows as they are pushed."""
    objects = [{name: str(value) if isinstance(value, date) else value for name, value in row.items()} for row in rows]
    path.write_text(json.dumps(objects, ensure_ascii=False, indent=1), encoding="utf-8")


def write_purchases(folder: Path, records: Sequence[Published], now: datetime) -> None:
    """All files of a demonstration, once: they are the person's to change, and stay changed."""
    if (folder / ERP).exists():
        return
    erp, sheet = plan(records, now.date())
    rows = rows_of(sheet)
    write_sheet(folder / SHEET, rows)
    write_sheet(folder / SHEET_WITH_FAULTS, with_faults(rows))
    write_records(folder / RECORDS, rows)
    unfinished = folder / f"{ERP}.part"
    unfinished.unlink(missing_ok=True)
    write_erp(unfinished, erp, now)
    unfinished.rename(folder / ERP)
