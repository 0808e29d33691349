"""The life of executions and slices: the only package that writes their status.

An execution is `running`, then `success` or `error`, and never changes again. A slice is `pending`, `running`
(under a lease, fenced by `attempt`), then `success` or `error`. Every transition is one conditional UPDATE that says
whether it won. Locks are always taken in the order execution, slice, data, and all arithmetic uses the
database's clock.

Each function works in the transaction of the connection that it is given; the caller commits.
"""

from datetime import timedelta
from typing import Literal, get_args

from common.resources import RESOURCES_BY_NAME
from common.resources.contratacoes import CONTRATACOES
from common.resources.description import Criterio
from common.resources.dominios import DOMINIOS

Mode = Literal["update", "backfill"]
Kind = Literal["sync", "delivery", "intake"]
"""What an execution does: read a source, send rows to a destination, or take in rows that others send."""

KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT_RESOURCE = CONTRATACOES.name
"""The resource of a request that names none."""

GOAL_TRIGGER = "goal"
"""What has started an execution that fills a goal: days that are to be kept, and are missing."""

PATIENCE: dict[Mode, timedelta] = {"update": timedelta(hours=1), "backfill": timedelta(hours=24)}
"""How long a slice may fail without a page that shows anything new, and an execution wait for a source that fails."""

GOAL_PATIENCE = timedelta(hours=1)
"""The same of a slice for a goal: a day that fails is tried again later, and must not hold up older ones."""


def criterio_of(resource: str, mode: Mode, asked: str | None = None) -> Criterio:
    """By which listing an execution reads: an update by `atualizacao`, a backfill as asked, else as days are covered.

    Raises:
        ValueError: the resource has no such listing; the text is for the caller.

    """
    if resource == DOMINIOS:
        if mode == "backfill":
            raise ValueError("as tabelas de domínio não têm dias: são lidas por inteiro, no modo update")
        return "atualizacao"  # its lists say what holds now, and know no days
    described = RESOURCES_BY_NAME[resource]
    for criterio in described.listings:
        if asked == criterio:
            return criterio
    if asked is not None:
        raise ValueError(f"{resource} não têm listagem por {asked}: use {' ou '.join(described.listings)}")
    return "atualizacao" if mode == "update" else described.day_criterio
