"""The messages of an episode: Brazilian Portuguese for people, JSON for programs. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from backend.models.verdict import SyncVerdict
from backend.services.alerts.channels import Message
from backend.services.alerts.findings import Details, at_brasilia
from backend.services.alerts.words import CRITERIOS, MODES, TRIGGERS, of_resource, why_of
from common.lifecycle import DEFAULT_RESOURCE

Event = Literal["opened", "reminder", "recovered"]

SHOWN_EXECUTIONS = 10
REMINDED = ("sync", "source")
"""The kinds of episodes with reminders."""

_SUBJECTS: dict[Event, str] = {"opened": "Alerta", "reminder": "Lembrete", "recovered": "Resolvido"}
_KINDS = {
    "sync": "sincronização com falhas",
    "source": "portal que não responde",
    "empty": "listagens vazias",
    "rejected": "registros rejeitados",
    "database": "banco de dados com falhas",
    "itens": "itens que faltam",
    "drift": "campos que mudaram de tipo",
    "queue": "fila sem leitor",
}


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
) -> Message:
    """The message of an episode's beginning, reminder or end.

    If the first message could not be delivered, the message of the end contains all of it.
    """
    began = at_brasilia(episode.opened_at.isoformat())
    lines = [f"{_KINDS.get(episode.kind, episode.kind).capitalize()} desde {began} (horário de Brasília)."]
    if episode.resolved_at is not None:
        ended = at_brasilia(episode.resolved_at.isoformat())
        lines = [f"{lines[0][:-1]}, até {ended}.", f"Terminou: {episode.details.get('resolution', 'nada mais falha')}."]
    lines += ["", f"O que houve: {episode.summary}."]
    lines += _executions_of(episode)
    if episode.resolved_at is None:
        lines += ["", "O que fazer:", *_advice_on(episode)]
        lines += ["", _what_follows(episode.kind, reminder)]
    if verdict is not None:
        lines += ["", "O espelho agora:", *(f"- {fact.title}. {fact.text}" for fact in verdict.facts)]
    if told := technical_detail(episode.details):
        lines += ["", "Detalhe técnico:", *(f"- {line}" for line in told)]
    if public_url:
        lines += ["", f"Página: {public_url}/"]
    subject = f"[PNCP Sync] {_SUBJECTS[event]}: {_KINDS.get(episode.kind, episode.kind)} desde {began}"
    payload: dict[str, Any] = {
        "event": event,
        "alert": {
            "id": episode.id,
            "kind": episode.kind,
            "summary": episode.summary,
            "opened_at": episode.opened_at.isoformat(),
            "resolved_at": None if episode.resolved_at is None else episode.resolved_at.isoformat(),
            "details": episode.details,
        },
        "verdict": None if verdict is None else verdict.model_dump(mode="json", include={"state", "code", "facts"}),
        "url": f"{public_url}/" if public_url else None,
    }
    thread = f"alert-{episode.id}-{int(episode.opened_at.timestamp())}"
    return Message(subject, "\n".join(lines) + "\n", payload, thread, str(number))


def compose_test(moment: datetime, *, public_url: str | None) -> Message:
    """The test message."""
    text = "Esta é uma mensagem de teste do PNCP Sync: os alertas chegam por aqui. Não há nada a fazer.\n"
    if public_url:
        text += f"\nPágina: {public_url}/\n"
    payload = {"event": "test", "alert": None, "url": f"{public_url}/" if public_url else None}
    return Message("[PNCP Sync] Teste dos alertas", text, payload, "alert-test", str(int(moment.timestamp() * 1000)))


def _shown_executions(details: Details) -> Sequence[Details]:
    executions: Sequence[Details] = details.get("executions", [])
    return sorted(executions, key=lambda one: not one["is_pending"])[:SHOWN_EXECUTIONS]


def _executions_of(episode: Episode) -> list[str]:
    shown = _shown_executions(episode.details)
    if not shown:
        return []
    lines = ["", "Execuções que falharam:"]
    for one in shown:
        what = f"{MODES[one['mode']]} {TRIGGERS.get(one['trigger'], one['trigger'])}"
        if one["mode"] == "backfill" and one["window_start"]:
            what += f", {_day(one['window_start'])} a {_day(one['window_end'])} por {CRITERIOS[one['criterio']]}"
        what = of_resource(one.get("resource", DEFAULT_RESOURCE), what)  # episodes of earlier versions know none
        mended = "" if one["is_pending"] else " (já não falha)"
        lines.append(f"- {one['id']}, {what}, {at_brasilia(one['finished_at'])}{mended}: {why_of(one.get('cause'))}")
    left = len(episode.details["execution_ids"]) - len(shown)
    return [*lines, f"- e mais {left}"] if left else lines


def technical_detail(details: Details) -> list[str]:
    """The words of the program, of the portal and of the database, in whatever language; a line for each."""
    told = [(f"execução {one['id']}", one["error_message"]) for one in _shown_executions(details)]
    told += [(f"serviço {one['service']}", one.get("error_message")) for one in details.get("services", [])]
    told += [
        (of_resource(one.get("resource", DEFAULT_RESOURCE), "itens"), one["cause"]) for one in details.get("causes", [])
    ]
    told += [("banco de dados", details.get("error_message"))]
    return [f"{about}: {words}" for about, words in told if words]


def _day(wall_clock: str) -> str:
    return f"{datetime.fromisoformat(wall_clock):%d/%m/%Y}"


_ADVICE = {
    "source": [
        "- Em geral não há nada a fazer: por pausa há uma só tentativa, e tudo segue de onde parou assim que o portal",
        "  responder. Uma atualização espera até uma hora, uma carga até 24.",
        "- Se o portal responde no navegador (https://pncp.gov.br), a causa provável está na rede daqui, num proxy ou",
        "  num bloqueio deste endereço.",
    ],
    "queue": [
        "- Há um ingestor em pé, e ele alcança o RabbitMQ? O registro (log) dele diz por que perde a conexão.",
        "- O que foi pedido pela API corre mesmo assim: os ingestores o acham no banco em meio minuto.",
    ],
    "itens": [
        "- Se o serviço de itens do portal falha, espere: os ingestores leem por si o que falta.",
        "- python -m ingestor itens lista o que falta e por quê; --retry tenta de novo o que foi posto de lado.",
    ],
    "drift": [
        "- Nada se perdeu: payload guarda o que veio. GET /sync/dashboard mostra um exemplo de cada campo (drift).",
        "- Veja se há uma versão mais nova do PNCP Sync; depois dela, uma carga preenche as colunas.",
    ],
    "empty": [
        "- Confira no portal (https://pncp.gov.br) se há mesmo tão pouco; feriados trazem pouco, não nada.",
        "- Peça o dia de novo: ./pncp sync --backfill DIA DIA (de outro recurso que contratações com",
        "  --resource NOME), ou POST /sync/force. Se vierem registros, basta.",
    ],
    "rejected": [
        "- Veja quais e por quê: ./pncp rejected (ou python -m ingestor rejected).",
        "- Se o motivo é um campo que o programa não aceita, atualize-o e tente de novo: ./pncp rejected --retry.",
        "- Se o portal os corrigir, a próxima leitura os grava sozinha.",
    ],
    "database": [
        "- Nada se perde: o que não foi gravado será lido e gravado de novo, sem pedir.",
        "- Veja o espaço em disco, as travas (pg_locks) e o registro (log) do PostgreSQL.",
    ],
}


def _advice_on(episode: Episode) -> list[str]:
    if episode.kind in _ADVICE:
        return _ADVICE[episode.kind]
    advice = []
    pending = [one for one in episode.details.get("executions", []) if one["is_pending"]]
    if pending:
        advice += [
            "- Se o portal falhou, espere que volte. Uma atualização recomeça sozinha de onde a última parou.",
            "- Repita só o que falhou, por exemplo ./pncp retry {id}, ou POST /sync/executions/{id}/retry.".format_map(
                pending[0]
            ),
        ]
    if episode.details.get("overdue"):
        advice.append("- Há um ingestor em pé, e ele alcança o banco de dados e o portal? O registro (log) dele diz.")
    return [*advice, "- O guia de operação (docs/operating.md) segue daqui: When a synchronisation fails."]


def _what_follows(kind: str, reminder: timedelta | None) -> str:
    if kind not in REMINDED or reminder is None:
        return "Uma mensagem avisará quando passar."
    minutes = int(reminder.total_seconds() // 60)
    every = f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
    return f"Um lembrete vem a cada {every} enquanto durar, e uma mensagem avisará quando passar."
