"""What a file says of itself, its columns and its name, made of the question that it answers."""

import re
import unicodedata
from dataclasses import replace
from datetime import datetime

from backend.services.entities.mirror import Mirror
from backend.services.entities.question import PERSONAL, Question, refuse
from backend.services.exports.copying import check_fields, with_file_fields
from backend.services.exports.tables import About, Column
from common.entities.entity import KEY, MAIN, Entity, Field
from common.resources.description import Kind

MOST_PDF_FIELDS = 12
_LONGEST_NAME = 60
_TITLES = (
    *("descricao", "titulo", "objeto_termo_contrato", "objeto_contrato", "objeto_compra", "objeto_contratacao"),
    *("observacao", "nome_unidade", "razao_social", "nome", "orgao_entidade_razao_social"),
)
_PDF = (
    ("numero_controle_pncp", "numero_controle_pncp_ata", "id_pca_pncp", "chave", "cnpj", "ni"),
    ("numero_item", "sequencial_documento", "sequencial_termo_contrato", "codigo_unidade"),
    _TITLES,
    ("nome_razao_social_fornecedor", "nota_fiscal_nome_emitente"),
    ("orgao_entidade_razao_social", "nome_orgao"),
    ("unidade_orgao_municipio_nome", "municipio_nome"),
    ("unidade_orgao_uf_sigla", "uf_sigla"),
    ("data_publicacao_pncp", "data_inclusao"),
    ("data_vigencia_fim", "vigencia_fim", "data_desejada"),
    ("quantidade_homologada", "quantidade"),
    ("valor_unitario_homologado", "valor_unitario_estimado", "valor_unitario"),
)
"""The columns of a page: of each of these groups the first that an entity has."""
_AMOUNTS = ("valor_global", "valor_total")


def columns_of(question: Question) -> tuple[Column, ...]:
    """The columns of the question's CSV."""
    return tuple(Column(each.name, each.label, each.kind.name) for each in question.fields)


def describe(question: Question, mirror: Mirror, *, rows: int, made_at: datetime) -> About:
    """What the file says of itself; `made_at` is Brasília's clock."""
    filters = [(asked.filter.label, ", ".join(asked.written)) for asked in question.asked.values()]
    if question.sees_all:
        filters.append(("CPFs", f"por inteiro ({PERSONAL})"))
    elif any(each.is_personal for each in question.fields):
        filters.append(("CPFs", "mascarados"))
    direction = "decrescente" if question.order.is_descending else "crescente"
    return About(
        title=question.entity.label,
        filters=filters,
        order=f"{question.order.label}, {direction}",
        made_at=f"{made_at:%d/%m/%Y %H:%M}",
        rows=rows,
        mirror=mirror.to_json(),
        mirror_sentence=mirror.to_sentence(),
        sums=[each.name for each in question.fields if _is_sum(each)],
    )


def _is_sum(field: Field) -> bool:
    """Whether to add up a column: an amount of the row itself, and not a price or what stands once in each record."""
    return (
        field.kind is Kind.NUMBER
        and field.name.startswith("valor")
        and field.sql.startswith(f"{MAIN}.")
        and not re.search("unitario|nominal|parcela", field.name)
    )


def file_name(question: Question, suffix: str, day: datetime) -> str:
    """A name that tells what is in the file: `contratos-SC-2026-11-29.csv`."""
    said = [value for name, asked in question.asked.items() if name in ("uf", "ano", "cnpj") for value in asked.written]
    parts = (question.entity.address, *said, f"{day:%Y-%m-%d}")
    name = re.sub(r"[^A-Za-z0-9-]+", "-", "-".join(parts))
    return f"{name if len(name) <= _LONGEST_NAME else f'{question.entity.address}-{day:%Y-%m-%d}'}.{suffix}"


def to_ascii(sentence: str) -> str:
    """A sentence as headers take it: without accents."""
    return unicodedata.normalize("NFKD", sentence).encode("ascii", "ignore").decode()


def title_field(entity: Entity) -> str:
    """The name of the field that says in words what a row is."""
    declared = entity.declared
    if declared is None:
        return next(name for name in _TITLES if name in entity.fields)
    texts = [each.name for each in declared.columns.values() if each.type == "text" and each.name not in declared.key]
    return next((name for name in (*declared.searched, *_TITLES, *texts) if name in declared.columns), KEY)


def for_format(question: Question, name: str, *, names_fields: bool) -> Question:
    """The question as a file of this format, or a feed, answers it; `names_fields`: the reader has said which.

    Raises:
        RequestValidationError: the format cannot show these fields, or not to this reader.

    """
    if not names_fields:
        question = _with_pdf_fields(question) if name in ("pdf", "atom") else with_file_fields(question)
    check_fields(question)
    if name == "pdf":
        _check_pdf_fields(question)
    return question


def _with_pdf_fields(question: Question) -> Question:
    """The question with the fields that a page has room for, where none are named."""
    fields, order = question.entity.fields, question.entity.orders.get("valor")
    if question.entity.declared is not None:
        shown = [each for each in fields.values() if each.kind is not Kind.JSON]
        return replace(question, fields=tuple(shown[:MOST_PDF_FIELDS]))
    amounts = (*_AMOUNTS, *(each.name for each in fields.values() if order is not None and each.sql == order.sql))
    names = [next((name for name in group if name in fields), None) for group in (*_PDF, amounts)]
    chosen = dict.fromkeys(name for name in names if name is not None)
    return replace(question, fields=tuple(fields[name] for name in chosen))


def _check_pdf_fields(question: Question) -> None:
    """Refuse more fields than a page has room for.

    Raises:
        RequestValidationError: there are more.

    """
    if len(question.fields) > MOST_PDF_FIELDS:
        refuse("campos", f"tem {len(question.fields)} campos, e uma página de PDF tem lugar para {MOST_PDF_FIELDS}")
