"""Invents PCAs and their items, in the two shapes in which the portal sends an item, all following from a seed."""

import random
import zlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import orjson

from simulator import domains
from simulator.invention import Inventor, later
from simulator.records import Pca, decode_json, encode_json
from simulator.resources import PCAS

# What the keys of the integration service's item are called in the consulta service's; it lacks all others.
LISTED_KEYS: Final = {
    "descricao": "descricaoItem",
    "nomeClassificacao": "nomeClassificacaoCatalogo",
    "quantidade": "quantidadeEstimada",
    **{
        key: key
        for key in (
            "pdmCodigo",
            "dataInclusao",
            "numeroItem",
            "dataAtualizacao",
            "valorTotal",
            "pdmDescricao",
            "codigoItem",
            "unidadeRequisitante",
            "grupoContratacaoCodigo",
            "grupoContratacaoNome",
            "classificacaoSuperiorCodigo",
            "classificacaoSuperiorNome",
            "unidadeFornecimento",
            "valorUnitario",
            "valorOrcamentoExercicio",
            "dataDesejada",
            "categoriaItemPcaNome",
            "classificacaoCatalogoId",
        )
    },
}
_STEPS: Final = (1, 1, 1, 1, 1, 1, 2, 3)  # numeroItem has gaps


class PcaInventor:
    """Invents PCAs for the órgãos of an `Inventor`, and never gives out one control number twice."""

    def __init__(self, inventor: Inventor) -> None:
        self.inventor = inventor
        self._next: dict[tuple[int, int], int] = {}

    def pcas(self, rng: random.Random, published: Sequence[datetime], until: datetime) -> list[Pca]:
        """One plan per stamp of `published` (Brasília wall clock), none updated after `until`."""
        return [self._pca(rng, at, until) for at in published]

    def _pca(self, rng: random.Random, published: datetime, until: datetime) -> Pca:
        orgao_index = rng.choices(range(len(self.inventor.orgaos)), self.inventor.shares)[0]
        orgao = self.inventor.orgaos[orgao_index]
        unidade_index = rng.randrange(len(orgao.unidades))
        unidade = orgao.unidades[unidade_index]
        ano = published.year + (rng.random() < 0.7)  # noqa: PLR2004 - most plan for the year to come
        sequencial = self._next.get((orgao_index, ano), 1)
        self._next[orgao_index, ano] = sequencial + 1
        atualizacao = later(rng, published, until) if rng.random() < 0.7 else published  # noqa: PLR2004
        cnpj = orgao.entidade["cnpj"]
        return Pca(
            numero_controle_pncp=PCAS.key(cnpj, sequencial, ano),
            cnpj=cnpj,
            ano=ano,
            sequencial=sequencial,
            uf=unidade["ufSigla"],
            codigo_ibge=unidade["codigoIbge"],
            codigo_unidade=unidade["codigoUnidade"],
            publicacao=published.isoformat(),
            atualizacao=atualizacao.isoformat(),
            atualizacao_global=atualizacao.isoformat(),
            seed=rng.getrandbits(48),
            orgao=orgao_index,
            unidade=unidade_index,
            item_count=_item_count(rng),
        )

    def record(self, head: Pca) -> dict[str, Any]:
        """The JSON object of a plan in a listing, without its items."""
        orgao = self.inventor.orgaos[head.orgao]
        return {
            "codigoUnidade": head.codigo_unidade,
            "nomeUnidade": orgao.unidades[head.unidade]["nomeUnidade"],
            "anoPca": head.ano,
            "idPcaPncp": head.numero_controle_pncp,
            "orgaoEntidadeCnpj": head.cnpj,
            "orgaoEntidadeRazaoSocial": orgao.entidade["razaoSocial"],
            "dataAtualizacaoGlobalPCA": head.atualizacao_global,
            "dataPublicacaoPNCP": head.publicacao,
        }

    def items(self, head: Pca) -> list[bytes]:
        """The JSON objects of all items of a plan as the integration service lists them, the same each time."""
        rng = random.Random(head.seed + 1)
        numbers = [0]
        for _ in range(head.item_count):
            numbers.append(numbers[-1] + rng.choice(_STEPS))
        return [orjson.dumps(self.item(rng, head, number)) for number in numbers[1:]]

    def item(self, rng: random.Random, head: Pca, number: int) -> dict[str, Any]:
        """One item of `head` as the integration service lists it."""
        # Plans of the federal catalogue group their items and seldom describe them; others do the reverse.
        federal = head.seed % 3 != 0
        codigo, nome, classificacao = rng.choice(domains.CLASSES_PCA)
        described = not federal or rng.random() < 0.42  # noqa: PLR2004
        descricao = rng.choice(domains.ITENS)[0] if described else None
        pdm = federal and described and classificacao == 1 and rng.random() < 0.8  # noqa: PLR2004
        categoria = 5 if rng.random() < 0.1 else classificacao  # noqa: PLR2004 - Soluções de TIC are of both kinds
        quantity = float(rng.choice((0, 1, 1, 2, 10, 100)))
        price = round(rng.lognormvariate(4, 1.6), 2) if quantity else 0.0
        included, updated = _item_stamps(rng, head)
        return {
            "pdmCodigo": str(rng.randint(1, 19_999)) if pdm else None,
            "dataAtualizacao": updated,
            "cnpj": head.cnpj,
            "dataInclusao": included,
            "numeroItem": number,
            "dataPublicacaoPncp": head.publicacao,
            "codigoUnidade": head.codigo_unidade,
            "nomeUnidade": self.inventor.orgaos[head.orgao].unidades[head.unidade]["nomeUnidade"],
            "descricao": descricao,
            "anoPca": head.ano,
            "valorTotal": round(price * quantity, 2) if quantity else float(rng.randint(1, 500) * 100),
            "sequencialPca": head.sequencial,
            "pdmDescricao": nome if pdm else None,
            "codigoItem": str(rng.randint(1, 499_999) if federal else 1) if described else None,
            "unidadeRequisitante": None,
            "grupoContratacaoCodigo": f"{head.codigo_unidade}-{1 + number // 5}/{head.ano}" if federal else None,
            "grupoContratacaoNome": rng.choice(domains.BENS).upper() if federal else None,
            "classificacaoSuperiorCodigo": codigo,
            "classificacaoSuperiorNome": nome,
            "unidadeFornecimento": rng.choice(("-", "-", "UN", "CX")) if federal else "LEGISLATIVO",
            "quantidade": quantity,
            "valorUnitario": price,
            # Others than the federal ones repeat a whole budget on each item.
            "valorOrcamentoExercicio": 0.0 if federal else 31_987_000.0,
            "dataDesejada": (date(head.ano, 1, 1) + timedelta(days=rng.randrange(365))).isoformat(),
            "categoriaItemPcaid": categoria,
            "nomeCatalogo": domains.NOMES_CATALOGO[1 if federal else 2],
            "nomeClassificacao": domains.CLASSIFICACOES_PCA[classificacao],
            "catalogoId": 1 if federal else 2,
            "categoriaItemPcaNome": domains.CATEGORIAS_ITEM_PCA[categoria],
            "classificacaoCatalogoId": classificacao,
        }


def listed_item(item: bytes) -> bytes:
    """An item as the consulta service shows it within a plan; keys that are not there are not there either."""
    parsed = decode_json(item)
    return encode_json({shown: parsed[key] for key, shown in LISTED_KEYS.items() if key in parsed})


def unlisted_item(plan: Mapping[str, Any], item: Mapping[str, Any], sequencial: int) -> dict[str, Any]:
    """An item that the consulta service has shown within `plan`, as the integration service would list it; what the
    consulta service does not tell is null.
    """
    categoria = item.get("categoriaItemPcaNome")
    return {
        **{key: item[shown] for key, shown in LISTED_KEYS.items() if shown in item},
        "cnpj": plan.get("orgaoEntidadeCnpj"),
        "anoPca": plan.get("anoPca"),
        "sequencialPca": sequencial,
        "codigoUnidade": plan.get("codigoUnidade"),
        "nomeUnidade": plan.get("nomeUnidade"),
        "dataPublicacaoPncp": plan.get("dataPublicacaoPNCP"),
        "categoriaItemPcaid": next(
            (id_ for id_, name in domains.CATEGORIAS_ITEM_PCA.items() if name == categoria), None
        ),
        "catalogoId": None,
        "nomeCatalogo": None,
    }


def listed_order(item: bytes) -> int:
    """Listings do not show the items of a plan in the order of their numbers."""
    return zlib.crc32(str(decode_json(item).get("numeroItem")).encode())


def touch_items(rng: random.Random, items: list[bytes], stamp: str) -> list[bytes]:
    """The items of a plan after a change at `stamp`: of one the quantity is another, or none has changed."""
    if not items or rng.random() < 0.1:  # noqa: PLR2004
        return items
    place = rng.randrange(len(items))
    item: dict[str, Any] = decode_json(items[place])
    quantity = float(rng.randint(1, 10_000))
    item |= {"quantidade": quantity, "valorTotal": round(quantity * 12.5, 2), "valorUnitario": 12.5}
    return [*items[:place], encode_json(item | {"dataAtualizacao": stamp}), *items[place + 1 :]]


def consolidated(
    head: Pca, plan: Mapping[str, Any], items: Sequence[bytes], unidade: Mapping[str, str]
) -> dict[str, Any]:
    """What the integration service says of a whole plan."""
    parsed = [decode_json(item) for item in items]
    return {
        "valorTotal": float(sum(each.get("valorTotal") or 0 for each in parsed)),
        "quantidade": len(items),
        "dataAtualizacao": head.atualizacao_global,
        "dataAtualizacaoGlobalPCA": head.atualizacao_global,
        "dataPublicacaoPncp": head.publicacao,
        "codigoUnidade": head.codigo_unidade,
        "nomeUnidade": plan.get("nomeUnidade"),
        "anoPca": head.ano,
        "cnpj": head.cnpj,
        "razaoSocial": plan.get("orgaoEntidadeRazaoSocial"),
        "numeroControlePNCP": head.numero_controle_pncp,
        "usuario": domains.USUARIOS[0],
        "sequencialPca": head.sequencial,
        "municipio": unidade.get("municipioNome"),
        "uf": unidade.get("ufSigla"),
    }


def _item_count(rng: random.Random) -> int:
    """How many items a plan has: many have some, a few over a thousand."""
    draw = rng.random()
    if draw < 0.02:  # noqa: PLR2004
        return rng.randint(500, 2100)
    if draw < 0.2:  # noqa: PLR2004
        return rng.randint(30, 150)
    return rng.randint(1, 29)


def _item_stamps(rng: random.Random, head: Pca) -> tuple[str, str]:
    """DataInclusao and dataAtualizacao of an item, between the plan's publication and its last change."""
    first, last = datetime.fromisoformat(head.publicacao), datetime.fromisoformat(head.atualizacao_global)
    if rng.random() < 0.7 or last <= first:  # noqa: PLR2004
        return head.publicacao, head.publicacao
    updated = later(rng, first, last)
    included = updated if rng.random() < 0.5 else first  # noqa: PLR2004
    return included.isoformat(), updated.isoformat()
