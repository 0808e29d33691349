"""What an episode is about, in one line, from its details: those of any version, as they are stored. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.language.translator import Text
from backend.services.verdict.outages import told_failure
from common.lifecycle import DEFAULT_RESOURCE

Details = dict[str, Any]

DELIVERY = "delivery"
"""The family of the kinds of episodes that are about one destination: `delivery:<destination>`."""
IMPORT = "import"
EXTRACT = "extract"
"""The same of one source: `extract:<source>`."""
SHOWN_LISTINGS = 3
SHOWN_FIELDS = 5


def summarise(kind: str, details: Details) -> Text:
    """The line of an episode.

    Raises:
        KeyError: the details are of another version.

    """
    return Text("alert.several", {"parts": _PARTS[family_of(kind)](details)})


def family_of(kind: str) -> str:
    """The kind without what it is about."""
    return kind.partition(":")[0]


def of_resource(resource: str, said: Text) -> Text:
    """A sentence that names its resource, unless it is the one that is meant where none is named."""
    return said if resource == DEFAULT_RESOURCE else Text("of_resource", {"resource": resource, "said": said})


def told_cause(cause: str | None) -> Text:
    """Why an execution failed; episodes of earlier versions know no cause."""
    return Text(f"cause.{cause or 'unknown'}")


def _of_failures(details: Details) -> list[Text]:
    parts = []
    count, pending = len(details["execution_ids"]), details["pending"]
    if count:
        parts.append(Text("alert.failed", {"count": count}))
    if 0 < pending < count:
        parts.append(Text("alert.to_be_repeated", {"count": pending}))
    return parts + [of_resource(late["resource"], _of_late(late)) for late in details["late"]]


def _of_late(late: Details) -> Text:
    if late["has_gap"] and late["updated_until"]:
        return Text("alert.gap", {"since": late["updated_until"]})
    if late["has_gap"]:
        return Text("alert.part_never")
    if late["last_success_at"]:
        return Text("alert.no_success_since", {"since": late["last_success_at"]})
    return Text("alert.no_success")


def _of_outage(details: Details) -> list[Text]:
    return [
        Text(
            "alert.outage",
            {
                "service": one["service"],
                "how": told_failure(one["reason"] or "down", one["cause"]),
                "since": one["failing_since"],
                "next_try": one["next_try_at"],
            },
        )
        for one in details["services"]
    ]


def _of_database(_: Details) -> list[Text]:
    return [Text("alert.database")]


def _of_empty(details: Details) -> list[Text]:
    listings = details["listings"]
    parts = []
    for one in listings[:SHOWN_LISTINGS]:
        code = "alert.day_empty" if one["modalidade"] is None else "alert.listing_empty"
        said = Text(code, {"day": one["day"], "part": one["modalidade"]})
        parts.append(of_resource(one.get("resource", DEFAULT_RESOURCE), said))
    if len(listings) > SHOWN_LISTINGS:
        parts.append(Text("alert.more_listings", {"count": len(listings) - SHOWN_LISTINGS}))
    quiet: Mapping[str, str] = details.get("quiet", {})
    return parts + [of_resource(name, Text("alert.quiet", {"since": since})) for name, since in quiet.items()]


def _of_rejected(details: Details) -> list[Text]:
    days: Sequence[Details] = details["days"]
    parts = [Text("alert.rejected", {"count": details["records"]})]
    if len(days) == 1:
        parts.append(Text("alert.day_incomplete", {"day": days[0]["day"]}))
    elif days:
        span = {"count": len(days), "first": days[0]["day"], "last": days[-1]["day"]}
        parts.append(Text("alert.days_incomplete", span))
    return parts


def _of_owed(details: Details) -> list[Text]:
    parts = []
    for one in details["resources"]:
        told = {"resource": one["resource"], "count": one["records"], "since": one["since"]}
        parts.append(Text("alert.owed", told))
        if one["set_aside"]:
            parts.append(Text("alert.set_aside", {"count": one["set_aside"]}))
    return parts


def _of_drift(details: Details) -> list[Text]:
    names = list(dict.fromkeys(f"{field['resource']}.{field['path']}" for field in details["fields"]))
    fields: str | Text = ", ".join(names[:SHOWN_FIELDS])
    if len(names) > SHOWN_FIELDS:
        fields = Text("alert.fields_and_more", {"names": fields, "count": len(names) - SHOWN_FIELDS})
    return [Text("alert.drift", {"fields": fields})]


def _of_queue(details: Details) -> list[Text]:
    return [Text("alert.queue", {"since": details["since"]})]


def _of_delivery(details: Details) -> list[Text]:
    parts = []
    if stopped := details.get("stopped"):
        parts.append(Text("alert.delivery_stopped", {"since": stopped["since"]}))
    if failing := details.get("failing"):
        parts.append(Text("alert.delivery_failing", {"since": failing["since"]}))
    if held := details.get("held"):
        parts.append(Text(f"alert.delivery_{held['reason']}", {"id": held["id"], "count": held["owed"] or 0}))
    if failed := details.get("failed"):
        parts.append(Text("alert.delivery_failed", {"id": failed["id"], "why": told_cause(failed["cause"])}))
    if rejected := details.get("rejected"):
        parts.append(Text("alert.delivery_rejected", {"count": rejected}))
    if faults := details.get("faults"):
        parts.append(Text("alert.delivery_invalid", {"count": len(faults)}))
    return [Text("alert.of_destination", {"destination": details["destination"], "said": parts})]


def _of_import(details: Details) -> list[Text]:
    refused, waiting = details["refused"], details["waiting"]
    parts = []
    if refused:
        newest = refused[0]
        file = f"{newest['layout']}/{newest['file_name']}"
        parts.append(Text("alert.imports_refused", {"count": len(refused), "file": file}))
    return parts + [Text("alert.rows_waiting", {"count": one["rows"], "entity": one["entity"]}) for one in waiting]


def _of_extract(details: Details) -> list[Text]:
    parts = []
    if failing := details.get("failing"):
        parts.append(Text("alert.extract_failing", {"since": failing["since"]}))
    if held := details.get("held"):
        told = {"id": held["id"], "entity": held["entity"] or "", "count": held["removed"] or 0}
        parts.append(Text("alert.extract_many_removed", told))
    if failed := details.get("failed"):
        parts.append(Text("alert.extract_failed", {"id": failed["id"], "why": told_cause(failed["cause"])}))
    if faults := details.get("faults"):
        parts.append(Text("alert.extract_invalid", {"count": len(faults)}))
    return [Text("alert.of_source", {"source": details["source"], "said": parts})]


_PARTS = {
    "sync": _of_failures,
    "source": _of_outage,
    "database": _of_database,
    "empty": _of_empty,
    "rejected": _of_rejected,
    "itens": _of_owed,
    "drift": _of_drift,
    "queue": _of_queue,
    DELIVERY: _of_delivery,
    IMPORT: _of_import,
    EXTRACT: _of_extract,
}
