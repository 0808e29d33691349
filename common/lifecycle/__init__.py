"""The life of executions and slices: the only package that writes their status.

An execution is `running`, then `success` or `error`, and never changes again. A slice is `pending`, `running`
(under a lease, fenced by `attempt`), then `success` or `error`. Every transition is one conditional UPDATE that says
whether it won. Locks are always taken in the order execution, slice, data, and all arithmetic uses the
database's clock.

Each function works in the transaction of the connection that it is given; the caller commits.
"""

from datetime import timedelta
from typing import Literal, get_args

from common.resources.contratacoes import CONTRATACOES

Mode = Literal["update", "backfill"]
Criterio = Literal["publicacao", "atualizacao"]
Kind = Literal["sync", "delivery", "intake"]
"""What an execution does: read a source, send rows to a destination, or take in rows that others send."""

KINDS: tuple[Kind, ...] = get_args(Kind)
ONLY_SYNC: tuple[Kind, ...] = ("sync",)
DEFAULT_RESOURCE = CONTRATACOES.name
"""The resource of a request that names none."""

PATIENCE: dict[Mode, timedelta] = {"update": timedelta(hours=1), "backfill": timedelta(hours=24)}
"""How long a slice may fail without a page that shows anything new, and an execution wait for a source that fails."""
