"""Why a value is refused: codes, and what they say to people."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from typing import Any, Literal

from common.masking import mask_numbers, mask_text

LONGEST_SHOWN = 100
"""Characters of a value that a fault shows."""

SENTENCES: Mapping[str, tuple[str, str]] = {
    "required": ("falta o valor", "there is no value"),
    "not_text": ("esperava um texto", "expected a text"),
    "too_long": ("o texto passa de {longest} caracteres", "the text has more than {longest} characters"),
    "bad_character": (
        "tem um caractere que não pode ser guardado (NUL ou metade de um par UTF-16)",
        "has a character that cannot be stored (NUL or half of a UTF-16 pair)",
    ),
    "number_as_text": (
        "é um número com casas decimais, e não um texto; formate a coluna como texto",
        "is a number with decimals, not a text; format the column as text",
    ),
    "date_as_text": (
        "a planilha leu isto como data; formate a coluna como texto e escreva de novo",
        "the sheet has read this as a date; format the column as text and write it again",
    ),
    "digits_lost": (
        "o número tem mais de 15 dígitos, e a planilha já perdeu os últimos; formate a coluna como texto",
        "the number has more than 15 digits, and the sheet has lost the last ones; format the column as text",
    ),
    "scientific": (
        "está em notação científica, que perde dígitos; formate a coluna como número ou texto",
        "is in scientific notation, which loses digits; format the column as number or text",
    ),
    "not_integer": ("esperava um número inteiro", "expected a whole number"),
    "not_number": (
        "esperava um número, como 1.234,56 ou 1234.56",
        "expected a number, such as 1234.56",
    ),
    "ambiguous_number": (
        "pode ser milhar ou casa decimal; escreva por exemplo 1234 ou 1,234",
        "may be thousands or decimals; write for example 1234 or 1,234 with a decimal comma",
    ),
    "out_of_range": ("o número é grande demais", "the number is too large"),
    "not_boolean": ("esperava sim ou não", "expected true or false"),
    "not_day": (
        "esperava uma data, como 31/12/2026 ou 2026-12-31",
        "expected a date, such as 2026-12-31",
    ),
    "not_moment": (
        "esperava data e hora, como 31/12/2026 14:30 ou 2026-12-31T14:30:00",
        "expected a date and a time, such as 2026-12-31T14:30:00",
    ),
    "unlikely_year": ("o ano da data não está entre 1900 e 2199", "the year of the date is not from 1900 to 2199"),
    "not_cnpj": ("esperava um CNPJ de 14 caracteres", "expected a CNPJ of 14 characters"),
    "not_cpf": ("esperava um CPF de 11 dígitos", "expected a CPF of 11 digits"),
    "not_cpf_cnpj": ("esperava um CPF ou um CNPJ", "expected a CPF or a CNPJ"),
    "check_digits": ("os dígitos verificadores não conferem", "the check digits are not right"),
    "ambiguous_document": (
        "sem os zeros à esquerda pode ser CPF ou CNPJ; formate a coluna como texto",
        "without its leading zeros it may be a CPF or a CNPJ; format the column as text",
    ),
    "not_control_number": (
        "esperava um número de controle do PNCP, como 00394460000141-1-000082/2026",
        "expected a control number of the PNCP, such as 00394460000141-1-000082/2026",
    ),
    "not_listed": ("não é um dos valores aceitos: {values}", "is none of the values that are accepted: {values}"),
    "not_mapped": ("o layout não diz o que este valor é", "the layout does not say what this value is"),
    "not_json": ("esperava JSON", "expected JSON"),
    "too_deep": ("o JSON tem níveis demais", "the JSON is nested too deeply"),
    "binary": ("é um valor binário, que não é aceito", "is a binary value, which is not accepted"),
    "interval": ("é uma duração, que não é aceita", "is a duration, which is not accepted"),
    "cell_error": ("{address} tem erro ({error})", "{address} has an error ({error})"),
    "formula_without_value": (
        "{address}: fórmula sem valor; salve no Excel",
        "{address}: a formula without a value; save it in Excel",
    ),
    "cells_beyond_header": (
        "{address}: a linha tem mais células que o cabeçalho",
        "{address}: the row has more cells than the header",
    ),
    "key_separator": (
        "só a primeira parte de uma chave composta pode ter barra (/)",
        "only the first part of a composite key may have a slash (/)",
    ),
    "key_too_long": ("a chave passa de 500 caracteres", "the key has more than 500 characters"),
    "unknown_column": ("não é uma coluna deste layout{near}", "is no column of this layout{near}"),
    "not_object": ("deve ser um objeto JSON", "has to be a JSON object"),
    "others_rejected": (
        "outras linhas foram recusadas, e este layout aceita todas ou nenhuma",
        "other rows were refused, and this layout takes all or none",
    ),
    # --- of whole files ------------------------------------------------------------------------------------------
    "file_too_large": ("o arquivo passa de {limit} KiB", "the file has more than {limit} KiB"),
    "unreadable_file": ("o arquivo não pode ser lido ({why})", "the file cannot be read ({why})"),
    "empty_file": ("o arquivo está vazio", "the file is empty"),
    "no_content": ("nenhuma planilha visível tem conteúdo", "no visible sheet has content"),
    "unknown_format": (
        "o arquivo não é uma planilha xlsx, ods ou xls, nem um CSV",
        "the file is no spreadsheet (xlsx, ods, xls) and no CSV",
    ),
    "html": (
        "o arquivo é uma página (HTML ou XML) e não uma planilha; abra-o e salve como xlsx",
        "the file is a page (HTML or XML), not a spreadsheet; open it and save it as xlsx",
    ),
    "macros": ("planilhas com macros não são aceitas; salve como xlsx", "no macros are taken; save it as xlsx"),
    "binary_workbook": ("o formato xlsb não é aceito; salve como xlsx", "xlsb is not taken; save it as xlsx"),
    "encrypted": ("o arquivo está protegido por senha", "the file is protected by a password"),
    "damaged_file": (
        "o arquivo está danificado; abra-o e salve de novo",
        "the file is damaged; open and save it again",
    ),
    "too_many_parts": ("o arquivo tem mais de {limit} partes", "the file has more than {limit} parts"),
    "too_large_inflated": (
        "o arquivo descompactado passa de {limit} MiB",
        "unpacked the file has more than {limit} MiB",
    ),
    "nested_archive": ("há outro arquivo compactado dentro do arquivo", "the file holds another archive"),
    "xml_entities": (
        "o arquivo define entidades XML ou não está em UTF-8, como nenhum programa de planilhas escreve",
        "the file declares XML entities or is not UTF-8, as no spreadsheet program writes",
    ),
    "too_many_rows": ("a planilha tem mais de {limit} linhas", "the sheet has more than {limit} rows"),
    "too_many_columns": ("a planilha tem mais de {limit} colunas", "the sheet has more than {limit} columns"),
    "repeated_headers": ("há colunas repetidas: {headers}", "columns are repeated: {headers}"),
    "quotes": (
        "linha {row}: aspas sem par ou célula longa demais",
        "row {row}: quotes without a pair, or a cell that is too long",
    ),
    "too_many_faults": (
        "mais de {limit} células têm erro ou fórmula sem valor; salve no Excel",
        "more than {limit} cells have an error or a formula without a value; save it in Excel",
    ),
    "faults_without_address": (
        "há células com erro ou fórmula sem valor; salve no Excel",
        "cells have an error or a formula without a value; save it in Excel",
    ),
    "too_much_memory": (
        "a planilha precisa de memória demais; veja se há células preenchidas muito abaixo ou à direita dos dados",
        "the sheet needs too much memory; look for cells that are far below or beside the data",
    ),
    "too_slow": (
        "a leitura da planilha passou de {limit} segundos",
        "reading the sheet took more than {limit} seconds",
    ),
}
"""By the code of a fault, in Portuguese and English; braces are what `ValueRefused` is given."""


def sentence(code: str, values: Mapping[str, object]) -> str:
    """What a fault says to people, in Portuguese."""
    return SENTENCES[code][0].format(**values)


class ValueRefused(Exception):
    """A value is not what its column takes. `code` is for programs, `message` for people, in Portuguese."""

    def __init__(self, code: str, **values: object) -> None:
        self.code = code
        self.message = sentence(code, values)
        super().__init__(self.message)


@dataclass(frozen=True)
class CellFault:
    """A cell of a sheet without a value that could be read, by its address. `error` is what the sheet shows."""

    code: Literal["cell_error", "formula_without_value", "cells_beyond_header"]
    address: str
    error: str = ""


_UNFIT = re.compile("[\x00\ud800-\udfff]")
_WHOLE = 1e15


def has_unfit(text: str) -> bool:
    """Whether it holds what PostgreSQL does not store: NUL, or a half of a pair of UTF-16."""
    return _UNFIT.search(text) is not None


def as_written(raw: Any, *, is_personal: bool = False) -> str:
    """A value as it stands in a fault: shortened, and without CPFs.

    `is_personal`: of a column that may hold the number of a natural person, so that all that looks like one is masked.
    """
    text = _UNFIT.sub("�", _plain(raw)[: 2 * LONGEST_SHOWN])
    if is_personal and text.isdecimal() and len(text) <= 11:  # noqa: PLR2004  # a CPF may have lost its leading zeros
        text = text.zfill(11)
    return (mask_numbers(text) if is_personal else mask_text(text))[:LONGEST_SHOWN]


def _plain(raw: Any) -> str:
    text = ""
    match raw:
        case None:
            pass
        case str():
            text = raw[: 2 * LONGEST_SHOWN]
        case CellFault():
            text = raw.error
        case bool():
            text = "verdadeiro" if raw else "falso"
        case float() if raw.is_integer() and abs(raw) < _WHOLE:
            text = str(int(raw))
        case int() if abs(raw) >= 10**LONGEST_SHOWN:  # Python writes no int of thousands of digits
            text = "…"
        case bytes() | bytearray() | memoryview():
            text = "…"
        case date() | time():
            text = raw.isoformat()
        case _:
            text = str(raw)
    return text
