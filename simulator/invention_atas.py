"""Invents atas de registro de preços of contratações with srp: every field the portal sends, all of it following from a
seed.

Nothing here draws from the streams of contratações and contratos, which are the same with atas and without.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from simulator import domains
from simulator.invention import Inventor, later
from simulator.records import Ata, Contratacao
from simulator.resources import ATAS, CONTRATACOES

_TRIES: Final = 40  # a contratação in four has srp: so many drawn in vain mean that there is none
_SINCE_ADESAO: Final = 2026  # possibilidadeAdesao came with this year


class AtaInventor:
    """Invents atas for the contratações of an `Inventor`, and never gives out one control number twice."""

    def __init__(self, inventor: Inventor) -> None:
        self.inventor = inventor
        self._next: dict[str, int] = {}

    def atas(
        self,
        rng: random.Random,
        published: Sequence[datetime],
        compras: Sequence[Contratacao],
        has_srp: Callable[[Contratacao], bool],
        until: datetime,
    ) -> Iterator[Ata]:
        """One ata per stamp of `published` (Brasília wall clock), of one of `compras` with srp, none updated after
        `until`; none at all where no contratação has srp.
        """
        for at in published:
            drawn = (rng.choice(compras) for _ in range(_TRIES if compras else 0))
            compra = next(filter(has_srp, drawn), None)
            if compra is not None:
                yield self._ata(rng, at, compra, until)

    def absent(self, rng: random.Random, published: datetime) -> Ata:
        """An ata of a contratação of years before, which is not among those invented."""
        orgao_index = rng.randrange(len(self.inventor.orgaos))
        orgao = self.inventor.orgaos[orgao_index]
        cnpj, ano, sequencial = orgao.entidade["cnpj"], published.year - 2, rng.randint(1, 999)
        compra = Contratacao(
            numero_controle_pncp=CONTRATACOES.key(cnpj, sequencial, ano),
            cnpj=cnpj,
            ano=ano,
            sequencial=sequencial,
            modalidade=6,
            modo_disputa=1,
            uf=orgao.unidades[0]["ufSigla"],
            codigo_ibge=orgao.unidades[0]["codigoIbge"],
            codigo_unidade=orgao.unidades[0]["codigoUnidade"],
            publicacao="",
            atualizacao="",
            atualizacao_global="",
            item_count=0,
            seed=0,
            orgao=orgao_index,
        )
        return self._ata(rng, published, compra, published)

    def _ata(self, rng: random.Random, published: datetime, compra: Contratacao, until: datetime) -> Ata:
        numero = self._next.get(compra.numero_controle_pncp, 1)
        self._next[compra.numero_controle_pncp] = numero + 1
        atualizacao = later(rng, published, until) if rng.random() < 0.4 else published  # noqa: PLR2004
        atualizacao_global = later(rng, atualizacao, until) if rng.random() < 0.3 else atualizacao  # noqa: PLR2004
        begins = published.date() + timedelta(days=rng.choice((0, 1, 1, 3, 6)))
        return Ata(
            numero_controle_pncp=ATAS.key(compra.cnpj, compra.sequencial, compra.ano, numero),
            cnpj=compra.cnpj,
            ano=compra.ano,
            sequencial=compra.sequencial,
            uf=compra.uf,
            codigo_ibge=compra.codigo_ibge,
            codigo_unidade=compra.codigo_unidade,
            publicacao=published.date().isoformat(),
            atualizacao=atualizacao.date().isoformat(),
            atualizacao_global=atualizacao_global.date().isoformat(),
            seed=rng.getrandbits(48),
            orgao=compra.orgao,
            unidade=compra.unidade,
            compra=compra.numero_controle_pncp,
            numero=numero,
            usuario=rng.randrange(len(domains.USUARIOS_ATAS)),
            vigencia_inicio=begins.isoformat(),
            vigencia_fim=(begins + timedelta(days=rng.choice((180, 365, 365, 365, 731)))).isoformat(),
        )

    def record(self, head: Ata) -> dict[str, Any]:
        """The whole JSON object of an ata in a listing, the same each time for the same `head`."""
        rng = random.Random(head.seed)
        orgao = self.inventor.orgaos[head.orgao]
        unidade = orgao.unidades[head.unidade]
        published = date.fromisoformat(head.publicacao)
        signed = published - timedelta(days=rng.choice((0, 1, 2, 5, 20)))
        numero = rng.choice(
            (f"{head.numero:05d}", f"NPERP {head.numero:03d}/{head.ano}", f"PE{head.sequencial}", "238")
        )
        record: dict[str, Any] = {
            "numeroControlePNCPAta": head.numero_controle_pncp,
            "numeroAtaRegistroPreco": numero,
            "anoAta": signed.year,
            "numeroControlePNCPCompra": head.compra,
            "cancelado": False,
            "dataCancelamento": None,
            "dataAssinatura": signed.isoformat(),
            "vigenciaInicio": head.vigencia_inicio,
            "vigenciaFim": head.vigencia_fim,
            "dataPublicacaoPncp": head.publicacao,
            "dataInclusao": head.publicacao,
            "dataAtualizacao": head.atualizacao,
            "dataAtualizacaoGlobal": head.atualizacao_global,
            "usuario": domains.USUARIOS_ATAS[head.usuario],
            "objetoContratacao": rng.choice(domains.OBJETOS).format(rng.choice(domains.BENS)),
            "cnpjOrgao": head.cnpj,
            "nomeOrgao": orgao.entidade["razaoSocial"],
            "cnpjOrgaoSubrogado": None,
            "nomeOrgaoSubrogado": None,
            "codigoUnidadeOrgao": head.codigo_unidade,
            "nomeUnidadeOrgao": unidade["nomeUnidade"],
            "codigoUnidadeOrgaoSubrogado": None,
            "nomeUnidadeOrgaoSubrogado": None,
        }
        # The key is missing in answers of the years before.
        if published.year >= _SINCE_ADESAO or rng.random() < 0.5:  # noqa: PLR2004
            record["possibilidadeAdesao"] = rng.random() < 0.3  # noqa: PLR2004
        return record


def touch_ata(rng: random.Random, head: Ata, record: Mapping[str, Any], day: str) -> dict[str, Any]:
    """What changes in the JSON of an ata; the stamps and the validity of `head` are changed in place.

    It is extended by a year, corrected, or cancelled once; each change differs from the one before, also on one day.
    """
    head.atualizacao = day
    over: dict[str, Any] = {"dataAtualizacao": day}
    kind = rng.random()
    if kind < 0.05 and record.get("cancelado") is False:  # noqa: PLR2004
        return over | {"cancelado": True, "dataCancelamento": day}
    if kind < 0.6:  # noqa: PLR2004
        head.vigencia_fim = (date.fromisoformat(head.vigencia_fim) + timedelta(days=365)).isoformat()
        return over | {"vigenciaFim": head.vigencia_fim}
    return over | {"objetoContratacao": f"{record.get('objetoContratacao')} (retificado)"}
