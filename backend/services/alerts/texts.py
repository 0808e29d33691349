"""The messages of an episode: sentences for people, JSON for programs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from backend.language.catalogue import SENTENCES
from backend.language.translator import DEFAULT_LANGUAGE, Language, Text, Translator
from backend.models.verdict import SyncVerdict
from backend.services.alerts.channels import Message
from backend.services.alerts.sentences import (
    DELIVERY,
    EXTRACT,
    IMPORT,
    Details,
    family_of,
    of_resource,
    summarise,
    told_cause,
)
from common.lifecycle import DEFAULT_RESOURCE

Event = Literal["opened", "reminder", "recovered"]

SHOWN_EXECUTIONS = 10
REMINDED = ("sync", "source")
"""The kinds of episodes with reminders."""
LINKS = {
    "sync": "historico?status=error",
    "rejected": "rejeitados",
    "empty": "cobertura",
    "source": "",
    DELIVERY: "entregas",
    IMPORT: "entradas",
    EXTRACT: "entradas",
}
"""Where the page shows what an episode is about; what is not here is shown with the alerts."""


@dataclass(frozen=True)
class Episode:
    """A row of `alerts`; all moments are aware."""

    id: int
    kind: str
    summary: str
    details: Details
    opened_at: datetime
    resolved_at: datetime | None = None


def compose(
    event: Event,
    episode: Episode,
    *,
    number: int,
    public_url: str | None,
    reminder: timedelta | None,
    verdict: SyncVerdict | None = None,
    language: Language = DEFAULT_LANGUAGE,
) -> Message:
    """The message of an episode's beginning, reminder or end.

    If the first message could not be delivered, the message of the end contains all of it.
    `verdict`: in the same language.
    """
    words = Translator(language)
    told = {"kind": _kind_of(episode), "began": episode.opened_at, "ended": episode.resolved_at}
    if episode.resolved_at is None:
        lines = [words.say(Text("mail.began", told))]
    else:
        lines = [words.say(Text("mail.lasted", told))]
        lines += [words.say(Text("mail.ended", {"why": told_end(episode.details, words)}))]
    lines += ["", words.say(Text("mail.what", {"summary": told_summary(episode, words)}))]
    lines += _executions_of(episode, words)
    if episode.resolved_at is None:
        lines += ["", words.say(Text("mail.to_do")), *(words.say(one) for one in _advice_on(episode))]
        lines += ["", words.say(_what_follows(episode.kind, reminder))]
    if verdict is not None:
        lines += ["", words.say(Text("mail.mirror")), *(f"- {fact.title}. {fact.text}" for fact in verdict.facts)]
    if technical := technical_detail(episode.details, words):
        lines += ["", words.say(Text("mail.technical")), *(f"- {line}" for line in technical)]
    link = link_to(episode, public_url)
    if link is not None:
        lines += ["", words.say(Text("mail.link", {"link": link}))]
    payload: dict[str, Any] = {
        "event": event,
        "alert": {
            "id": episode.id,
            "kind": episode.kind,
            "summary": told_summary(episode, words),
            "opened_at": episode.opened_at.isoformat(),
            "resolved_at": None if episode.resolved_at is None else episode.resolved_at.isoformat(),
            "details": episode.details,
        },
        "verdict": None if verdict is None else verdict.model_dump(mode="json", include={"state", "code", "facts"}),
        "url": link,
    }
    thread = f"alert-{episode.id}-{int(episode.opened_at.timestamp())}"
    subject = words.say(Text(f"mail.subject.{event}", told))
    return Message(subject, "\n".join(lines) + "\n", payload, thread, str(number))


def compose_test(moment: datetime, *, public_url: str | None, language: Language = DEFAULT_LANGUAGE) -> Message:
    """The test message."""
    words = Translator(language)
    text = f"{words.say(Text('mail.test.text'))}\n"
    if public_url:
        text += f"\n{words.say(Text('mail.page', {'link': f'{public_url}/'}))}\n"
    payload = {"event": "test", "alert": None, "url": f"{public_url}/" if public_url else None}
    subject = words.say(Text("mail.test.subject"))
    return Message(subject, text, payload, "alert-test", str(int(moment.timestamp() * 1000)))


def told_summary(episode: Episode, words: Translator) -> str:
    """The line of an episode in a language; as it is stored where an earlier version has written the details."""
    try:
        return words.say(summarise(episode.kind, episode.details))
    except KeyError:
        return episode.summary


def told_end(details: Details, words: Translator) -> str:
    """Why an episode has ended; earlier versions have stored a sentence alone."""
    if ended := details.get("ended"):
        return "; ".join(words.say(_read(one)) for one in ended)
    return str(details.get("resolution") or words.say(Text("alert.end.nothing")))


def write(text: Text) -> Details:
    """A text as JSON."""
    values = {name: write(one) if isinstance(one, Text) else one for name, one in text.values.items()}
    return {"code": text.code, "values": values}


def _read(written: Details) -> Text:
    values = {name: _read(one) if isinstance(one, dict) else one for name, one in written["values"].items()}
    return Text(written["code"], values)


def link_to(episode: Episode, public_url: str | None) -> str | None:
    """The address of the page that shows what an episode is about: the execution, where there is one."""
    if not public_url:
        return None
    pending = [one for one in episode.details.get("executions", []) if one["is_pending"]]
    if episode.kind == "sync" and len(pending) == 1:
        return f"{public_url}/#/execucoes/{pending[0]['id']}"
    return f"{public_url}/#/{LINKS.get(family_of(episode.kind), 'alertas')}"


def _kind_of(episode: Episode) -> str | Text:
    code = f"alert.kind.{family_of(episode.kind)}"
    return Text(code, {"about": episode.kind.partition(":")[2]}) if code in SENTENCES else episode.kind


def _shown_executions(details: Details) -> Sequence[Details]:
    executions: Sequence[Details] = details.get("executions", [])
    return sorted(executions, key=lambda one: not one["is_pending"])[:SHOWN_EXECUTIONS]


def _executions_of(episode: Episode, words: Translator) -> list[str]:
    shown = _shown_executions(episode.details)
    if not shown:
        return []
    lines = ["", words.say(Text("mail.executions"))]
    for one in shown:
        told = {
            "id": one["id"],
            "what": of_resource(one.get("resource", DEFAULT_RESOURCE), _what_ran(one)),  # earlier versions know none
            "finished": one["finished_at"],
            "why": told_cause(one.get("cause")),
        }
        lines.append(words.say(Text("mail.execution" if one["is_pending"] else "mail.execution_mended", told)))
    left = len(episode.details["execution_ids"]) - len(shown)
    return [*lines, words.say(Text("mail.more", {"count": left}))] if left else lines


def _what_ran(one: Details) -> Text:
    trigger = f"mail.trigger.{one['trigger']}"
    told: dict[str, Any] = {
        "mode": Text(f"mail.mode.{one['mode']}"),
        "trigger": Text(trigger) if trigger in SENTENCES else one["trigger"],
    }
    if one["mode"] != "backfill" or not one["window_start"]:
        return Text("mail.run", told)
    told |= {"first": one["window_start"], "last": one["window_end"]}
    return Text("mail.run_of_days", {**told, "criterio": Text(f"mail.criterio.{one['criterio']}")})


def technical_detail(details: Details, words: Translator) -> list[str]:
    """The words of the program, of the portal and of the database, in whatever language; a line for each."""
    told = [
        Text("mail.about.execution", {"id": one["id"], "said": one["error_message"]})
        for one in _shown_executions(details)
        if one["error_message"]
    ]
    told += [
        Text("mail.about.service", {"service": one["service"], "said": one["error_message"]})
        for one in details.get("services", [])
        if one.get("error_message")
    ]
    told += [
        of_resource(one.get("resource", DEFAULT_RESOURCE), Text("mail.about.itens", {"said": one["cause"]}))
        for one in details.get("causes", [])
        if one["cause"]
    ]
    about = "mail.about.extract" if "source" in details else "mail.about.delivery"
    told += [
        Text(about, {"said": one["error_message"]})
        for name in ("stopped", "failing", "failed")
        if (one := details.get(name)) and one["error_message"]
    ]
    told += [Text(about, {"said": one}) for one in details.get("faults", [])]
    told += [
        Text("mail.about.import", {"id": one["id"], "said": one["error_message"]})
        for one in details.get("refused", [])[:SHOWN_EXECUTIONS]
        if one["error_message"]
    ]
    if error := details.get("error_message"):
        told.append(Text("mail.about.database", {"said": error}))
    return [words.say(one) for one in told]


def _advice_on(episode: Episode) -> list[Text]:
    advised = f"mail.advice.{family_of(episode.kind)}"
    if episode.kind != "sync" and advised in SENTENCES:
        return [Text(advised)]
    pending = [one for one in episode.details.get("executions", []) if one["is_pending"]]
    advice = [Text("mail.advice.retry", {"id": pending[0]["id"]})] if pending else []
    if episode.details.get("overdue"):
        advice.append(Text("mail.advice.overdue"))
    return [*advice, Text("mail.advice.guide")]


def _what_follows(kind: str, reminder: timedelta | None) -> Text:
    if kind not in REMINDED or reminder is None:
        return Text("mail.follows.end")
    minutes = int(reminder.total_seconds() // 60)
    return Text("mail.follows.reminder", {"every": f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"})
