"""Suppliers: what contratos call them, and the company that a branch belongs to."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

MOST_NAMES = 5
CNPJ_LENGTH, ROOT_LENGTH = 14, 8

# By the index of `ni_fornecedor`: nothing counts while contratos are written.
_LOAD_NAMES = text(r"""
    SELECT nome_razao_social_fornecedor AS nome, count(*) AS contratos, max(data_atualizacao_global) AS as_of
      FROM contratos
     WHERE ni_fornecedor = :ni AND tipo_pessoa = :tipo_pessoa AND nome_razao_social_fornecedor ~ '\S'
     GROUP BY nome_razao_social_fornecedor
     ORDER BY count(*) DESC, max(data_atualizacao_global) DESC, nome_razao_social_fornecedor
     LIMIT :most
""")


async def load_names(db: AsyncConnection, tipo_pessoa: str, ni: str) -> Sequence[Row[Any]]:
    """The five most frequent names of a supplier in contratos, with how many say so, and the newest stamp of those."""
    parameters = {"tipo_pessoa": tipo_pessoa, "ni": ni, "most": MOST_NAMES}
    return (await db.execute(_LOAD_NAMES, parameters)).all()


def root_of(tipo_pessoa: str, ni: str) -> str | None:
    """What the CNPJs of a company and of all its branches begin with; of another number there is none."""
    return ni[:ROOT_LENGTH] if tipo_pessoa == "PJ" and len(ni) == CNPJ_LENGTH else None
