"""Invents contratações and their items: every field the portal sends, all of it following from a seed.

The municípios and the law are real, the órgãos, their CNPJs and what they buy are not.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from simulator import domains
from simulator.records import Contratacao
from simulator.resources import CONTRATACOES

ORGAO_COUNT: Final = 400

_CNPJ_WEIGHTS: Final = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
_LARGE: Final = 0.011  # share of contratações with more than a hundred items
_MIDDLING: Final[tuple[int, ...]] = (10, 10, 20, 20, *range(11, 36))  # pages filled exactly are where clients go wrong
_SINCE_EMENDA: Final = 2026  # emendaParlamentar came with this year; older records lack the key


@dataclass(frozen=True, slots=True)
class Orgao:
    """An invented buyer: its JSON object and those of its units, and where its numbering starts."""

    entidade: dict[str, str]
    unidades: tuple[dict[str, str], ...]
    first_sequencial: int


def cnpj_digits(stem: str) -> str:
    """A full CNPJ of 14 characters from its first 12; letters count as their ASCII code less 48 (manual 2.5)."""
    for weights in (_CNPJ_WEIGHTS[1:], _CNPJ_WEIGHTS):
        rest = sum((ord(char) - 48) * weight for char, weight in zip(stem, weights, strict=True)) % 11
        stem += str(0 if rest < 2 else 11 - rest)  # noqa: PLR2004 - the rule's own number
    return stem


def _invent_orgao(rng: random.Random, index: int) -> Orgao:
    municipio, codigo_ibge, uf = rng.choice(domains.MUNICIPIOS)
    nome, esfera, poder = rng.choice(domains.ORGAOS)
    stem = f"{rng.randrange(100_000_000):08d}0001"
    if index % 100 == 37:  # noqa: PLR2004 - about one órgão in a hundred has an alphanumeric CNPJ
        stem = "".join(rng.choices("0123456789ABCDEFGHJKLMNPRSTVWXYZ", k=8)) + "0001"
    unidades = tuple(
        {
            "ufNome": domains.UFS[uf],
            "codigoUnidade": codigo,
            "nomeUnidade": rng.choice(domains.UNIDADES),
            "ufSigla": uf,
            "municipioNome": municipio,
            "codigoIbge": codigo_ibge,
        }
        for codigo in rng.sample(domains.CODIGOS_UNIDADE, rng.choice((1, 1, 1, 2, 4)))
    )
    entidade = {
        "cnpj": cnpj_digits(stem),
        "razaoSocial": nome.format(municipio.upper()),
        "poderId": poder,
        "esferaId": esfera,
    }
    return Orgao(entidade, unidades, rng.randint(1, 300))


class Inventor:
    """Invents records that follow from `seed` alone and never give out one control number twice."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = random.Random(f"{seed}/orgaos")
        self.orgaos = [_invent_orgao(rng, index) for index in range(ORGAO_COUNT)]
        # A few órgãos buy much, most buy little.
        self.shares = [1 / (1 + index / 8) for index in range(ORGAO_COUNT)]
        self._next: dict[tuple[int, int], int] = {}

    def contratacoes(
        self, rng: random.Random, published: list[datetime], modalidades: list[int], until: datetime
    ) -> list[Contratacao]:
        """One contratação per stamp of `published` (Brasília wall clock) and modalidade beside it, none updated after
        `until`.
        """
        orgaos = rng.choices(range(ORGAO_COUNT), self.shares, k=len(published))
        return [
            self._contratacao(rng, at, modalidade, orgao, until)
            for at, modalidade, orgao in zip(published, modalidades, orgaos, strict=True)
        ]

    def _contratacao(
        self, rng: random.Random, published: datetime, modalidade: int, orgao_index: int, until: datetime
    ) -> Contratacao:
        orgao = self.orgaos[orgao_index]
        unidade_index = rng.randrange(len(orgao.unidades))
        unidade = orgao.unidades[unidade_index]
        # anoCompra is the buyer's own year: published late, or in January, it differs from the year of publication.
        ano = published.year - (rng.random() < (0.4 if published.month == 1 else 0.06))
        sequencial = self._next.get((orgao_index, ano), orgao.first_sequencial)
        self._next[orgao_index, ano] = sequencial + 1
        atualizacao, atualizacao_global = _updates(rng, published, until)
        cnpj = orgao.entidade["cnpj"]
        rules = domains.RULES.get(modalidade, domains.RULES[6])
        return Contratacao(
            numero_controle_pncp=CONTRATACOES.key(cnpj, sequencial, ano),
            cnpj=cnpj,
            ano=ano,
            sequencial=sequencial,
            modalidade=modalidade,
            modo_disputa=rng.choice(rules.modos),
            uf=unidade["ufSigla"],
            codigo_ibge=unidade["codigoIbge"],
            codigo_unidade=unidade["codigoUnidade"],
            publicacao=published.isoformat(),
            atualizacao=atualizacao.isoformat(),
            atualizacao_global=atualizacao_global.isoformat(),
            item_count=_item_count(rng),
            seed=rng.getrandbits(48),
            orgao=orgao_index,
            unidade=unidade_index,
        )

    def record(self, head: Contratacao) -> dict[str, Any]:
        """The whole JSON object of a contratação in a listing, the same each time for the same `head`."""
        rng = random.Random(head.seed)
        orgao = self.orgaos[head.orgao]
        rules = domains.RULES.get(head.modalidade, domains.RULES[6])
        amparo = rng.choice(rules.amparos)
        instrumento = rng.choice(rules.instrumentos)
        if head.modalidade == 8:  # noqa: PLR2004 - a dispensa with bids has an aviso, one without has the act alone
            instrumento = 2 if head.modo_disputa == 4 else 3  # noqa: PLR2004
        published = datetime.fromisoformat(head.publicacao)
        opening: datetime | None = None
        if instrumento != 3:  # noqa: PLR2004 - proposal dates are null exactly for instrument 3
            opening = (published + timedelta(days=rng.choice((-3, 0, 0, 1, 1, 2)))).replace(hour=8, minute=0, second=0)
        closing = opening and opening + timedelta(days=rng.randint(3, 30), minutes=rng.choice((0, 30, 60, 570)))
        estimated = _money(rng) if rng.random() > 0.115 else 0.0  # noqa: PLR2004 - 0 means secret: 11.5 % on record
        homologado = None
        if rng.random() > 0.338:  # noqa: PLR2004 - the share of null on record
            homologado = round(estimated * rng.uniform(0.6, 1.02), 2) or 45000.0
        situacao = rng.choices((1, 2, 3, 4), (970, 15, 5, 10))[0]
        sub_orgao, sub_unidade = self._sub_rogado(rng)
        record: dict[str, Any] = {
            "srp": rng.random() < 0.25,  # noqa: PLR2004
            "orgaoEntidade": orgao.entidade,
            "anoCompra": head.ano,
            "sequencialCompra": head.sequencial,
            "dataInclusao": head.publicacao,
            "dataPublicacaoPncp": head.publicacao,
            "dataAtualizacao": head.atualizacao,
            "numeroCompra": rng.choice(("90001", "39", "019/2026-REABERTURA", "DL 771", f"{head.sequencial:03d}")),
            "unidadeOrgao": orgao.unidades[head.unidade],
            "amparoLegal": {
                "descricao": domains.AMPAROS[amparo][1],
                "nome": domains.AMPAROS[amparo][0],
                "codigo": amparo,
            },
            "dataAberturaProposta": opening and opening.isoformat(),
            "dataEncerramentoProposta": closing and closing.isoformat(),
            "informacaoComplementar": draw_text(
                rng, 0.063, 0.135, "Informações pelo e-mail licitacao@exemplo.gov.br.\r\nTelefone: (00) 0000-0000"
            ),
            "processo": rng.choice(
                ("CTC-PRO-2025/1463", "23543.001551/2025-15", f"{rng.randrange(10**7)}/{head.ano}", "73")
            ),
            "objetoCompra": rng.choice(domains.OBJETOS).format(rng.choice(domains.BENS)),
            "linkSistemaOrigem": draw_text(rng, 0.17, 0.031, rng.choices(domains.LINKS, (60, 30, 1, 1, 1, 1, 1))[0]),
            "justificativaPresencial": draw_text(
                rng, 0.816, 0.148, "A forma presencial justifica-se pela realidade local."
            ),
            "unidadeSubRogada": sub_unidade,
            "orgaoSubRogado": sub_orgao,
            "valorTotalHomologado": homologado,
            "modalidadeId": head.modalidade,
            "dataAtualizacaoGlobal": head.atualizacao_global,
            "numeroControlePNCP": head.numero_controle_pncp,
            "linkProcessoEletronico": draw_text(rng, 0.983, 0, "https://processos.exemplo.gov.br/"),
            "modoDisputaId": head.modo_disputa,
            "valorTotalEstimado": estimated,
            "modalidadeNome": domains.MODALIDADES.get(head.modalidade, "Outra"),
            "modoDisputaNome": domains.MODOS_DISPUTA[head.modo_disputa],
            "tipoInstrumentoConvocatorioCodigo": instrumento,
            "tipoInstrumentoConvocatorioNome": domains.INSTRUMENTOS[instrumento],
            "fontesOrcamentarias": _fontes(rng, head.publicacao),
            "situacaoCompraId": situacao,
            "situacaoCompraNome": domains.SITUACOES[situacao],
            "usuarioNome": rng.choice(domains.USUARIOS),
        }
        if published.year >= _SINCE_EMENDA:
            record["emendaParlamentar"] = None if rng.random() < 0.999 else False  # noqa: PLR2004
        return record

    def has_srp(self, head: Contratacao) -> bool:
        """Whether a contratação is one by which prices are registered, as it was invented."""
        srp: bool = self.record(head)["srp"]
        return srp

    def _sub_rogado(self, rng: random.Random) -> tuple[dict[str, str] | None, dict[str, str] | None]:
        if rng.random() >= 0.01:  # noqa: PLR2004 - 99 % null on record
            return None, None
        other = rng.choice(self.orgaos)
        return other.entidade, other.unidades[0]

    def items(self, head: Contratacao) -> list[bytes]:
        """The JSON objects of all items of a contratação, `numeroItem` 1..n, the same each time."""
        rng = random.Random(head.seed + 1)
        return [orjson.dumps(invent_item(rng, head, number)) for number in range(1, head.item_count + 1)]


def invent_item(rng: random.Random, head: Contratacao, number: int) -> dict[str, Any]:
    """One item of `head` with every field the portal sends."""
    descricao, unidade, kind = rng.choice(domains.ITENS)
    quantity = float(rng.choice((1, 2, 5, 10, 12, 100, 250, 1000)))
    sealed = rng.random() < 0.1  # noqa: PLR2004
    price = 0.0 if sealed else round(rng.lognormvariate(4, 1.6), rng.choice((2, 2, 2, 4)))
    auction = head.modalidade in (1, 13)
    situacao = rng.choices((1, 2, 3, 4, 5), (50, 40, 3, 4, 3))[0]
    criterio = 5 if auction else rng.choices((1, 2, 7, 8), (80, 8, 10, 2))[0]
    categoria = rng.choice((1, 2)) if auction else 3
    beneficio = rng.choice((1, 3, 4, 4, 5))
    return {
        "numeroItem": number,
        "descricao": descricao,
        "materialOuServico": kind,
        "materialOuServicoNome": "Material" if kind == "M" else "Serviço",
        "valorUnitarioEstimado": price,
        "valorTotal": round(price * quantity, 4),
        "quantidade": quantity,
        "unidadeMedida": unidade,
        "orcamentoSigiloso": sealed,
        "itemCategoriaId": categoria,
        "itemCategoriaNome": domains.CATEGORIAS_ITEM[categoria],
        "patrimonio": None,
        "codigoRegistroImobiliario": None,
        "criterioJulgamentoId": criterio,
        "criterioJulgamentoNome": domains.CRITERIOS_JULGAMENTO[criterio],
        "situacaoCompraItem": situacao,
        "situacaoCompraItemNome": domains.SITUACOES_ITEM[situacao],
        "tipoBeneficio": beneficio,
        "tipoBeneficioNome": domains.BENEFICIOS[beneficio],
        "incentivoProdutivoBasico": False,
        "dataInclusao": head.publicacao,
        "dataAtualizacao": head.atualizacao,
        "temResultado": situacao == 2 and rng.random() < 0.97,  # noqa: PLR2004 - homologado without a result is on record
        "imagem": 0,
        "aplicabilidadeMargemPreferenciaNormal": False,
        "aplicabilidadeMargemPreferenciaAdicional": False,
        "percentualMargemPreferenciaNormal": None,
        "percentualMargemPreferenciaAdicional": None,
        "ncmNbsCodigo": None,
        "ncmNbsDescricao": None,
        "catalogo": None,
        "categoriaItemCatalogo": None,
        "catalogoCodigoItem": None,
        "informacaoComplementar": None,
        "tipoMargemPreferencia": None,
        "exigenciaConteudoNacional": False,
    }


def times_of_day(rng: random.Random, count: int, hours: Mapping[int, int]) -> list[timedelta]:
    """`count` times of publication within a day, as recorded ones are spread: `hours` has how many fell in each."""
    drawn = rng.choices(list(hours), list(hours.values()), k=count)
    return [timedelta(hours=hour, seconds=rng.randrange(3600)) for hour in drawn]


def _updates(rng: random.Random, published: datetime, until: datetime) -> tuple[datetime, datetime]:
    """DataAtualizacao and dataAtualizacaoGlobal of a record, between its publication and `until`."""
    header = published
    if rng.random() < 0.3:  # noqa: PLR2004
        header = later(rng, published, until)
    dependants = later(rng, header, until) if rng.random() < 0.85 else header  # noqa: PLR2004 - 1,616 of 1,899 are later
    if rng.random() < 0.003 and header - published > timedelta(seconds=1):  # noqa: PLR2004
        # Not a strict maximum: Global before the header's own stamp is on record, by a second and by six days.
        dependants = max(published, header - rng.choice((timedelta(seconds=1), timedelta(days=6))))
    return header, dependants


def later(rng: random.Random, start: datetime, until: datetime) -> datetime:
    """A moment after `start`, soon or some days on, but not after `until`."""
    room = (until - start).total_seconds()
    if room <= 1:
        return start
    seconds = rng.choice((rng.uniform(1, 300), rng.uniform(300, 40_000), rng.expovariate(1 / 432_000)))
    return start + timedelta(seconds=int(seconds if seconds <= room else rng.uniform(0, room)))


def _item_count(rng: random.Random) -> int:
    """How many items a contratação has: mean about 8, many with one to five, some exactly a page of 10 or 20, few over
    a hundred.
    """
    draw = rng.random()
    if draw < _LARGE:
        return rng.randint(101, 240)
    if draw < 0.35:  # noqa: PLR2004
        return 1
    if draw < 0.58:  # noqa: PLR2004
        return rng.randint(2, 5)
    if draw < 0.80:  # noqa: PLR2004
        return rng.randint(6, 9)
    if draw < 0.975:  # noqa: PLR2004
        return rng.choice(_MIDDLING)
    return 0


def _money(rng: random.Random) -> float:
    return round(min(rng.lognormvariate(11, 2), 5.8e8), 2)


def draw_text(rng: random.Random, null: float, empty: float, text: str) -> str | None:
    """`text`, or as often as on record null or nothing."""
    draw = rng.random()
    if draw < null:
        return None
    return "" if draw < null + empty else text


def _fontes(rng: random.Random, included: str) -> list[dict[str, Any]]:
    count = rng.choices((0, 1, 2), (980, 16, 4))[0]
    return [
        {
            "codigo": codigo,
            "nome": domains.FONTES[codigo],
            "descricao": f"Recurso orçamentário {domains.FONTES[codigo].lower()} disponível e devidamente vinculado à "
            "despesa que será realizada.",
            "dataInclusao": included,
        }
        for codigo in rng.sample((2, 3, 4), count)
    ]
