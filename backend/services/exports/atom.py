"""Atom feeds (RFC 4287) of lists: entries with ids that stay, and links to the portal."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

from backend.services.entities.address import portal_page
from backend.services.entities.mirror import Mirror
from backend.services.entities.question import Question
from backend.services.exports.about import title_field
from common.clock import BRASILIA
from common.entities.entity import MAIN, Entity, Field, Order
from common.resources.description import Kind

MOST_ENTRIES = 100
_ATOM = "http://www.w3.org/2005/Atom"
_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "https://pncp.gov.br/")
_LONGEST_TITLE = 200
_NEWEST = Order("visto_em", "Visto pela primeira vez", f"{MAIN}.created_at", Kind.MOMENT, is_required=True)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_OWN = ("visto_em", "alterado_em")


def for_feed(question: Question) -> Question:
    """The question of a feed's entries: the newest ones, with what entries need beside the fields that are shown.

    Parties have no day; of them the newest are those that were seen last.
    """
    entity = question.entity
    needed = {each.name: each for each in (*question.fields, *entity.key)}
    needed |= {name: entity.fields[name] for name in (*_OWN, title_field(entity)) if name in entity.fields}
    order = question.order if entity.period or question.order.name != entity.default_order.name else _NEWEST
    return replace(question, fields=tuple(needed.values()), order=order, limit=MOST_ENTRIES, counting="nao")


def to_feed(
    question: Question, rows: list[dict[str, Any]], mirror: Mirror, *, shown: tuple[Field, ...], address: str
) -> bytes:
    """The feed of rows; `shown`: the fields in the text of entries, `address`: the path and query of the feed."""
    entity = question.entity
    filters = "; ".join(f"{each.filter.label}: {', '.join(each.written)}" for each in question.asked.values())
    changed = max((row["alterado_em"] for row in rows), default=None)
    feed = ET.Element("feed", {"xmlns": _ATOM, "xml:lang": "pt-BR"})
    _add(feed, "id", uuid.uuid5(_IDS, address).urn)
    _add(feed, "title", f"{entity.label}: {filters}" if filters else entity.label)
    _add(feed, "subtitle", mirror.to_sentence())
    _add(feed, "updated", _moment(changed or mirror.fresh_until or datetime(2021, 8, 1)))  # noqa: DTZ001  # wall clock
    ET.SubElement(feed, "link", {"rel": "self", "type": "application/atom+xml", "href": address})
    _add(ET.SubElement(feed, "author"), "name", "PNCP Sync")
    for row in rows:
        _add_entry(feed, entity, row, shown)
    written: bytes = ET.tostring(feed, encoding="utf-8", xml_declaration=True)
    return written


def _add_entry(feed: ET.Element, entity: Entity, row: Mapping[str, Any], shown: tuple[Field, ...]) -> None:
    key = [str(row[each.name]) for each in entity.key]
    named = row[title_field(entity)]
    entry = ET.SubElement(feed, "entry")
    _add(entry, "id", uuid.uuid5(_IDS, "/".join((entity.address, *key))).urn)
    _add(entry, "title", str(named)[:_LONGEST_TITLE] if named else " ".join(key))
    _add(entry, "updated", _moment(row["alterado_em"]))
    if "visto_em" in row:
        _add(entry, "published", _moment(row["visto_em"]))
    page = page_of(entity, row)
    if page is not None:
        ET.SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": page})
    lines = [f"{each.label}: {in_words(row[each.name])}" for each in shown if row[each.name] is not None]
    _add(entry, "content", "\n".join(lines)).set("type", "text")


def page_of(entity: Entity, row: Mapping[str, Any]) -> str | None:
    """Where the portal shows the record of a row."""
    for resource in entity.resources:
        if resource.key in row and row.get("entidade", resource.name) == resource.name:
            return portal_page(resource, str(row[resource.key]))
    return None


def in_words(value: Any) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "sim" if value else "não"
    if isinstance(value, datetime):
        return f"{value:%d/%m/%Y %H:%M}"
    if isinstance(value, date):
        return f"{value:%d/%m/%Y}"
    return f"{value:f}".replace(".", ",") if isinstance(value, Decimal) else str(value)


def _moment(moment: datetime) -> str:
    return moment.replace(tzinfo=BRASILIA).isoformat(timespec="seconds")


def _add(parent: ET.Element, name: str, text: str) -> ET.Element:
    element = ET.SubElement(parent, name)
    element.text = _NOT_XML.sub("\ufffd", text)
    return element
