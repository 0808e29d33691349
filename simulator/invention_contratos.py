"""Invents contratos and empenhos beside contratações: every field the portal sends, all of it following from a seed.

Nothing here draws from the streams of contratações, which are the same with contratos and without.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from simulator import domains
from simulator.invention import Inventor, cnpj_digits, draw_text, later
from simulator.records import Contratacao, Contrato, Record
from simulator.resources import CONTRATACOES, CONTRATOS

FORNECEDOR_COUNT: Final = 600
_OTHERS: Final = 0.4  # share whose contratação belongs to another órgão: 9 to 88 % on record
_ABSENT: Final = 0.2  # share whose contratação the portal does not list
_SINCE_2026: Final = ("numeroControlePncpAta", "emendaParlamentar", "frutoAdesao", "temRemanejamento")


class Fornecedor(NamedTuple):
    """An invented supplier: its identifier (`niFornecedor`), and what a contrato says of it."""

    ni: str
    nome: str
    tipo_pessoa: str
    pais: str | None


class ContratoInventor:
    """Invents contratos for the órgãos of an `Inventor`, and never gives out one control number twice."""

    def __init__(self, inventor: Inventor) -> None:
        self.inventor = inventor
        self.seed = inventor.seed
        self.orgaos = inventor.orgaos
        self._shares = inventor.shares
        self._next: dict[tuple[int, int], int] = {}

    def contratos(
        self, rng: random.Random, published: Sequence[datetime], compras: Sequence[Contratacao], until: datetime
    ) -> list[Contrato]:
        """One contrato per stamp of `published` (Brasília wall clock), most of them of one of `compras`, none updated
        after `until`.
        """
        return [self._contrato(rng, at, compras, until) for at in published]

    def _contrato(
        self, rng: random.Random, published: datetime, compras: Sequence[Contratacao], until: datetime
    ) -> Contrato:
        compra = rng.choice(compras) if compras and rng.random() >= _ABSENT else None
        orgao_index, unidade_index = self._buyer(rng, compra)
        orgao = self.orgaos[orgao_index]
        unidade = orgao.unidades[unidade_index]
        # anoContrato follows the signature: of contratos published in January many bear the year before.
        ano = published.year - (rng.random() < (0.6 if published.month == 1 else 0.1))
        sequencial = self._next.get((orgao_index, ano), orgao.first_sequencial)
        self._next[orgao_index, ano] = sequencial + 1
        atualizacao = later(rng, published, until) if rng.random() < 0.55 else published  # noqa: PLR2004
        atualizacao_global = later(rng, atualizacao, until) if rng.random() < 0.15 else atualizacao  # noqa: PLR2004
        cnpj = orgao.entidade["cnpj"]
        return Contrato(
            numero_controle_pncp=CONTRATOS.key(cnpj, sequencial, ano),
            cnpj=cnpj,
            ano=ano,
            sequencial=sequencial,
            uf=unidade["ufSigla"],
            codigo_ibge=unidade["codigoIbge"],
            codigo_unidade=unidade["codigoUnidade"],
            publicacao=published.isoformat(),
            atualizacao=atualizacao.isoformat(),
            atualizacao_global=atualizacao_global.isoformat(),
            seed=rng.getrandbits(48),
            orgao=orgao_index,
            unidade=unidade_index,
            compra=self._earlier_compra(rng, cnpj, ano) if compra is None else compra.numero_controle_pncp,
        )

    def _buyer(self, rng: random.Random, compra: Contratacao | None) -> tuple[int, int]:
        if compra is not None and rng.random() >= _OTHERS:
            return compra.orgao, compra.unidade
        orgao_index = rng.choices(range(len(self.orgaos)), self._shares)[0]
        return orgao_index, rng.randrange(len(self.orgaos[orgao_index].unidades))

    def _earlier_compra(self, rng: random.Random, cnpj: str, ano: int) -> str:
        """The number of a contratação of years before, which is not among those invented."""
        if rng.random() < _OTHERS:
            cnpj = rng.choice(self.orgaos).entidade["cnpj"]
        return CONTRATACOES.key(cnpj, rng.randint(1, 999), ano - rng.choice((2, 2, 3)))

    def record(self, head: Contrato) -> dict[str, Any]:
        """The whole JSON object of a contrato in a listing, the same each time for the same `head`."""
        rng = random.Random(head.seed)
        orgao = self.orgaos[head.orgao]
        published = datetime.fromisoformat(head.publicacao).date()
        signed = published - timedelta(days=rng.choice((0, 0, 1, 1, 2, 3, 5, 8, 13, 40)))
        tipo = rng.choices(list(domains.TIPOS_CONTRATO), domains.TIPO_CONTRATO_WEIGHTS)[0]
        categoria = rng.choices(list(domains.CATEGORIAS_PROCESSO), domains.CATEGORIA_PROCESSO_WEIGHTS)[0]
        parcelas = rng.choices((1, 12, 24, 60), (88, 8, 2, 2))[0]
        valor = round(min(rng.lognormvariate(10, 2), 8e8), rng.choices((2, 3, 4), (90, 5, 5))[0])
        fornecedor = self.fornecedor(rng.randrange(FORNECEDOR_COUNT))
        empenho = tipo == 7  # noqa: PLR2004
        numero = f"{head.ano}NE{head.sequencial:06d}" if empenho else f"{head.sequencial:05d}"
        record: dict[str, Any] = {
            "numeroControlePncpCompra": head.compra,
            "codigoPaisFornecedor": fornecedor.pais,
            "anoContrato": head.ano,
            "tipoContrato": {"id": tipo, "nome": domains.TIPOS_CONTRATO[tipo]},
            "numeroContratoEmpenho": rng.choice(
                (numero, numero, str(head.sequencial), f"{head.sequencial}/{head.ano}")
            ),
            "dataAssinatura": signed.isoformat(),
            "dataVigenciaInicio": (signed + timedelta(days=rng.choice((0, 0, 1, 15)))).isoformat(),
            "dataVigenciaFim": (signed + timedelta(days=rng.choice((30, 365, 365, 730, 1825)))).isoformat(),
            "niFornecedor": fornecedor.ni,
            "tipoPessoa": fornecedor.tipo_pessoa,
            "orgaoEntidade": orgao.entidade,
            "categoriaProcesso": {"id": categoria, "nome": domains.CATEGORIAS_PROCESSO[categoria]},
            "dataPublicacaoPncp": head.publicacao,
            "dataAtualizacao": head.atualizacao,
            "sequencialContrato": head.sequencial,
            "unidadeOrgao": orgao.unidades[head.unidade],
            "informacaoComplementar": draw_text(rng, 0.52, 0.11, "15888606000072023 - UASG Minuta: 158886"),
            "processo": rng.choice(("23543.001551/2025-15", f"{rng.randrange(10**7)}/{head.ano}", "000084/2024: SRP")),
            "unidadeSubRogada": None,
            "orgaoSubRogado": None,
            "nomeRazaoSocialFornecedor": fornecedor.nome,
            "niFornecedorSubContratado": None,
            "nomeFornecedorSubContratado": None,
            "numeroControlePNCP": head.numero_controle_pncp,
            "receita": rng.random() < 0.003,  # noqa: PLR2004
            "numeroParcelas": parcelas,
            "numeroRetificacao": rng.choices((0, 1, 2, 3), (84, 11, 3, 2))[0],
            "tipoPessoaSubContratada": None,
            "objetoContrato": rng.choice(domains.OBJETOS).format(rng.choice(domains.BENS)),
            "valorInicial": valor,
            "valorParcela": round(valor / parcelas, 2) if rng.random() < 0.98 else 0.0,  # noqa: PLR2004
            "valorGlobal": valor,
            "valorAcumulado": rng.choice((None, None, None, valor, 0.0)),
            "dataAtualizacaoGlobal": head.atualizacao_global,
            "identificadorCipi": "111.11-011" if rng.random() < 0.002 else None,  # noqa: PLR2004
            "urlCipi": None,
            "usuarioNome": rng.choice(domains.USUARIOS_CONTRATOS),
        }
        # The keys of 2026 are missing in answers of the years before, and null in records that are older than they.
        current = published.year >= 2026  # noqa: PLR2004
        if current or rng.random() < 0.5:  # noqa: PLR2004
            record |= dict.fromkeys(_SINCE_2026)
        if current:
            record |= {"frutoAdesao": rng.random() < 0.02, "temRemanejamento": False}  # noqa: PLR2004
            record["numeroControlePncpAta"] = f"{head.compra}-000001" if rng.random() < 0.04 else None  # noqa: PLR2004
        return record

    def fornecedor(self, index: int) -> Fornecedor:
        """One of the suppliers, each the same for the same index."""
        rng = random.Random(f"{self.seed}/fornecedores/{index}")
        if index % 100 == 11:  # noqa: PLR2004 - one in a hundred is foreign, and may bear any identifier
            ni = rng.choice(("AXON INC", "SA-5122", f"{rng.randrange(10**9):09d}"))
            return Fornecedor(ni, "Simulated Instruments Inc", "PE", "USA")
        pais = rng.choice(("BRA", "BRA", "BRA", None))
        if index % 100 < 8:  # noqa: PLR2004 - 7.5 % are natural persons
            nome = f"{rng.choice(domains.PRENOMES)} {rng.choice(domains.SOBRENOMES)} {rng.choice(domains.SOBRENOMES)}"
            return Fornecedor(_nobodys_cpf(rng), nome.upper(), "PF", pais)
        nome = f"{rng.choice(domains.SOBRENOMES)} {rng.choice(domains.RAMOS)}"
        if index % 100 == 50:  # noqa: PLR2004
            nome = ""  # on record: companies without a name
        return Fornecedor(cnpj_digits(f"{rng.randrange(10**8):08d}0001"), nome, "PJ", pais)


def touch_contrato(rng: random.Random, head: Record, record: Mapping[str, Any], stamp: str) -> dict[str, Any]:
    """What changes in the JSON of a contrato: nothing, as with a new document, or the contrato is corrected."""
    if rng.random() >= 0.5:  # noqa: PLR2004
        return {}
    head.atualizacao = stamp
    times = record.get("numeroRetificacao")
    return {
        "valorGlobal": round(rng.uniform(100, 1_000_000), 4),
        "numeroRetificacao": (times if type(times) is int else 0) + 1,
        "dataAtualizacao": stamp,
    }


def _nobodys_cpf(rng: random.Random) -> str:
    """Eleven digits, of which the last is not the check digit that it should be: no person bears this number."""
    digits = [rng.randrange(10) for _ in range(9)]
    for _ in range(2):
        rest = sum(digit * weight for digit, weight in zip(reversed(digits), range(2, 13), strict=False)) * 10 % 11
        digits.append(rest % 10)
    digits[-1] = (digits[-1] + 1) % 10
    return "".join(map(str, digits))
