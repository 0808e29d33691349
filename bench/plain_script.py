"""A script of the kind people write: requests, page after page, one record at a time, ORM merge and commit.

It keeps a dozen columns of each record and of each item, where PNCP Sync keeps them all.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import requests
from sqlalchemy import JSON, ForeignKey, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.contender import PAGE_SIZE, Task, compete

NO_CONTENT = 204


class Base(DeclarativeBase):
    """The tables of the script."""


class Contratacao(Base):
    """One contratação."""

    __tablename__ = "contratacoes"

    numero_controle_pncp: Mapped[str] = mapped_column(primary_key=True)
    cnpj: Mapped[str]
    orgao: Mapped[str]
    modalidade: Mapped[int]
    objeto: Mapped[str | None]
    situacao: Mapped[str | None]
    valor_estimado: Mapped[Decimal | None]
    valor_homologado: Mapped[Decimal | None]
    publicada: Mapped[datetime]
    atualizada: Mapped[datetime]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)


class Item(Base):
    """One item of a contratação."""

    __tablename__ = "itens"

    numero_controle_pncp: Mapped[str] = mapped_column(ForeignKey(Contratacao.numero_controle_pncp), primary_key=True)
    numero_item: Mapped[int] = mapped_column(primary_key=True)
    descricao: Mapped[str | None]
    quantidade: Mapped[Decimal | None]
    valor_unitario: Mapped[Decimal | None]
    valor_total: Mapped[Decimal | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)


def mirror(task: Task) -> int:
    """Every page of every day and modalidade; answers how many records came."""
    url = make_url(task.database_url).set(drivername="postgresql+psycopg2")
    engine = create_engine(url)
    Base.metadata.create_all(engine)
    count = 0
    with requests.Session() as http, Session(engine) as session:
        for day, modalidade in task.slices():
            page, pages = 1, 1
            while page <= pages:
                answer = http.get(
                    f"{task.portal_url}/consulta/v1/contratacoes/publicacao",
                    params={
                        "dataInicial": f"{day:%Y%m%d}",
                        "dataFinal": f"{day:%Y%m%d}",
                        "codigoModalidadeContratacao": modalidade,
                        "pagina": page,
                        "tamanhoPagina": PAGE_SIZE,
                    },
                    timeout=30,
                )
                if answer.status_code == NO_CONTENT:
                    break
                listing = answer.json()
                pages = listing["totalPaginas"]
                for record in listing["data"]:
                    _store(session, http, task.portal_url, record)
                    count += 1
                page += 1
    engine.dispose()
    return count


def _store(session: Session, http: requests.Session, portal_url: str, record: dict[str, Any]) -> None:
    """One record with its items, in one commit."""
    key = record["numeroControlePNCP"]
    session.merge(
        Contratacao(
            numero_controle_pncp=key,
            cnpj=record["orgaoEntidade"]["cnpj"],
            orgao=record["orgaoEntidade"]["razaoSocial"],
            modalidade=record["modalidadeId"],
            objeto=record["objetoCompra"],
            situacao=record["situacaoCompraNome"],
            valor_estimado=record["valorTotalEstimado"],
            valor_homologado=record["valorTotalHomologado"],
            publicada=datetime.fromisoformat(record["dataPublicacaoPncp"]),
            atualizada=datetime.fromisoformat(record["dataAtualizacaoGlobal"]),
            payload=record,
        )
    )
    compra = f"{record['orgaoEntidade']['cnpj']}/compras/{record['anoCompra']}/{record['sequencialCompra']}"
    parameters = {"pagina": 1, "tamanhoPagina": 500}
    answer = http.get(f"{portal_url}/pncp/v1/orgaos/{compra}/itens", params=parameters, timeout=30)
    for item in answer.json() if answer.ok and answer.content else []:
        session.merge(
            Item(
                numero_controle_pncp=key,
                numero_item=item["numeroItem"],
                descricao=item["descricao"],
                quantidade=item["quantidade"],
                valor_unitario=item["valorUnitarioEstimado"],
                valor_total=item["valorTotal"],
                payload=item,
            )
        )
    session.commit()


if __name__ == "__main__":
    compete(mirror)
