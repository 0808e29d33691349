"""Recorded plans made whole: a page of a listing, and a list of the integration service, each have a part of them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from simulator.invention_pcas import unlisted_item
from simulator.records import encode_json, without
from simulator.resources import PCAS

JsonObject = dict[str, Any]


def whole_plans(
    plans: Iterable[JsonObject], items: Iterable[JsonObject], names: Mapping[str, str]
) -> Iterator[tuple[JsonObject, list[bytes]]]:
    """Each plan without its items, and its items by `numeroItem` as the integration service lists them.

    `plans` are those of listings, of which the newest version counts and the items of all; `items` are those of the
    integration service, which knows more keys and comes before. A plan that no listing shows is composed of its items
    and the name of its órgão (`names`, by CNPJ).
    """
    heads: dict[str, JsonObject] = {}
    found: dict[str, dict[int, bytes]] = {}
    for plan in plans:
        key = plan["idPcaPncp"]
        heads[key] = max(heads.get(key, plan), plan, key=_changed)
        sequencial = int(key[17:].partition("/")[0])
        for item in plan.get("itens", ()):
            found.setdefault(key, {})[item["numeroItem"]] = encode_json(unlisted_item(plan, item, sequencial))
    composed: dict[str, JsonObject] = {}
    for item in items:
        key = PCAS.key(item["cnpj"], item["sequencialPca"], item["anoPca"])
        found.setdefault(key, {})[item["numeroItem"]] = encode_json(item)
        plan = composed.setdefault(key, _composed(key, item, names.get(item["cnpj"], "")))
        plan["dataAtualizacaoGlobalPCA"] = max(_changed(plan), item["dataAtualizacao"])
    for key, plan in (composed | heads).items():
        listed = found.get(key, {})
        yield without(plan, ["itens"]), [listed[number] for number in sorted(listed)]


def _changed(plan: Mapping[str, Any]) -> str:
    return str(plan["dataAtualizacaoGlobalPCA"])


def _composed(key: str, item: Mapping[str, Any], name: str) -> JsonObject:
    return {
        "codigoUnidade": item["codigoUnidade"],
        "nomeUnidade": item["nomeUnidade"],
        "anoPca": item["anoPca"],
        "idPcaPncp": key,
        "orgaoEntidadeCnpj": item["cnpj"],
        "orgaoEntidadeRazaoSocial": name,
        "dataAtualizacaoGlobalPCA": item["dataAtualizacao"],
        "dataPublicacaoPNCP": item["dataPublicacaoPncp"],
    }
