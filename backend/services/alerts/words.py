"""The words of the API in Portuguese, for the messages of alerts; the page has its own in `words.js`."""

from collections.abc import Mapping

from common.lifecycle import DEFAULT_RESOURCE
from common.lifecycle.causes import Cause
from common.resources import LABELS

CAUSES: Mapping[Cause, str] = {
    "portal_down": "o portal falhou por tempo demais",
    "no_answer": "o portal não respondeu como devia",
    "portal_refused": "o portal recusou o pedido",
    "bad_answer": "a resposta do portal não pôde ser usada",
    "incomplete": "a listagem do portal não está completa",
    "database": "o banco de dados não gravou o que foi lido",
    "internal": "houve um erro inesperado do programa",
    "stalled": "ingestores seguidos caíram sem gravar uma página",
    "no_worker": "nenhum ingestor apareceu em uma hora",
    "publish_failed": "o RabbitMQ não aceitou o aviso",
    "cancelled": "foi cancelada",
    "cut_off": "a execução terminou antes",
}
MODES = {"update": "atualização", "backfill": "carga"}
CRITERIOS = {"publicacao": "publicação", "atualizacao": "alteração"}
TRIGGERS = {
    "api": "pedida pela API",
    "message": "pedida por mensagem",
    "schedule": "da agenda",
    "sweep": "da varredura noturna",
    "gap": "de uma lacuna",
    "goal": "de uma meta",
    "retry": "que repete outra",
}

_FAILS = {
    "throttled": "pede pausas",
    "blocked": "responde com uma página de bloqueio",
    "refused": "recusa os pedidos",
    "down": "não responde",
}


def why_of(cause: str | None) -> str:
    """Why an execution failed; episodes of earlier versions know no cause."""
    return next((words for known, words in CAUSES.items() if known == cause), "motivo não registrado")


def how_it_fails(reason: str | None, cause: str | None) -> str:
    """What the portal does while it is paused."""
    if cause == "bad_answer":
        return "dá respostas que não podem ser usadas"
    return _FAILS.get(reason or "", _FAILS["down"])


def of_resource(resource: str, words: str) -> str:
    """A sentence that names its resource, unless it is the one that is meant where none is named."""
    if resource == DEFAULT_RESOURCE:
        return words
    return f"{LABELS.get(resource, resource)}: {words}"
