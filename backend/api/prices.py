"""Price research over items with results: the series, its statistics, and both on paper."""

import asyncio
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from backend.access import reads
from backend.api.entities import answer
from backend.dependencies import AppState, CurrentUser, State
from backend.errors import NO_ROOM_RESPONSE, TOO_LONG_RESPONSE
from backend.models.prices import PriceResearch
from backend.openapi import with_headers
from backend.security import User, sees_personal_data
from backend.services.entities.documentation import PERSONAL_PARAMETER, parameters
from backend.services.entities.mirror import Mirror
from backend.services.entities.rows import to_json
from backend.services.exports.about import to_ascii
from backend.services.exports.formats import FORMATS
from backend.services.prices.calculation import METHOD
from backend.services.prices.paper import about, columns_of, file_name, rows_of
from backend.services.prices.research import research
from backend.services.prices.series import (
    EXCLUDE,
    LONGEST_REASON,
    MOST_EXCLUDED,
    MOST_PRICES,
    PRICES,
    REASON,
    Wanted,
    load_prices,
    parse_wanted,
)
from common.clock import BRASILIA
from common.database import raw_driver_of

router = APIRouter(tags=["dados"])


def _text_list(name: str, description: str, longest: int) -> dict[str, Any]:
    items = {"type": "string", "maxLength": longest, "pattern": "^[^\\u0000]*$"}
    schema = {"type": "array", "items": items, "maxItems": MOST_EXCLUDED}
    return {"name": name, "in": "query", "description": description, "schema": schema}


_PARAMETERS = {
    "parameters": [
        *({**each, "required": True} if each["name"] == "q" else each for each in parameters(PRICES, has_pages=False)),
        _text_list(EXCLUDE, "a `chave` de um preço que sai dos cálculos e fica na série", 250),
        _text_list(
            REASON, f"a justificativa: uma para cada `{EXCLUDE}`, na mesma ordem, ou uma só para todos", LONGEST_REASON
        ),
        PERSONAL_PARAMETER,
    ]
}
_DESCRIPTION = (
    f"Preços de itens com resultado, de quem comprou de quem, até {MOST_PRICES} resultados; se há mais, 422 diz quantos"
    " são. Sem `de` e `ate`, os do último ano (IN SEGES/ME 65/2021, art. 5º). Um parâmetro desconhecido é recusado"
    f" (422).\n\n{METHOD}\n\n`avisos` e `espelho` dizem o que falta, e o que não se compara. Exemplo:"
    " `/precos?q=papel+a4&unidade=resma&uf=SC&excluir=03112386000111-1-000007/2025-3-1&motivo=outra+marca`."
)


@router.get(
    "/precos",
    summary="Pesquisa de preços",
    description=_DESCRIPTION,
    responses={200: {"model": PriceResearch, **with_headers("ETag")}, **TOO_LONG_RESPONSE},
    openapi_extra=_PARAMETERS,
)
@reads
async def research_prices(request: Request, state: AppState, user: CurrentUser) -> Response:
    """Os preços e o que dão."""
    wanted, found, _ = await _research(request, state, user)
    return answer(request, to_json(found), {}, may_be_kept=not wanted.question.sees_all)


@router.get(
    "/precos.{formato}",
    operation_id="download_prices",
    summary="Pesquisa de preços: arquivo",
    description=f"A mesma pesquisa no papel: a série com as fontes, o método, o cálculo, o que ficou fora dele e por"
    f" quê, e o estado do espelho.\n\n{_DESCRIPTION}",
    responses={
        200: {
            "description": "O arquivo",
            "content": {
                FORMATS[name].media_type: {"schema": {"type": "string", "format": "binary"}} for name in ("xlsx", "pdf")
            },
            **with_headers("Content-Disposition", "X-Total-Registros", "X-Espelho"),
        },
        **TOO_LONG_RESPONSE,
        **NO_ROOM_RESPONSE,
    },
    openapi_extra=_PARAMETERS,
)
@reads
async def research_on_paper(
    request: Request, state: AppState, user: CurrentUser, formato: Literal["xlsx", "pdf"]
) -> Response:
    """Em XLSX ou PDF."""
    wanted, found, mirror = await _research(request, state, user)
    said = about(wanted, found, mirror, made_at=datetime.now(BRASILIA))
    async with state["files"].open_rows(rows_of(found, formato), columns_of(formato), said, FORMATS[formato]) as made:
        content = await asyncio.to_thread(made.path.read_bytes)
    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(wanted, formato)}"',
        "X-Total-Registros": str(made.rows),
        "X-Espelho": to_ascii(mirror.to_sentence()),
    }
    return Response(content, headers=headers, media_type=FORMATS[formato].media_type)


async def _research(request: Request, state: State, user: User | None) -> tuple[Wanted, dict[str, Any], Mirror]:
    given, today = request.query_params.multi_items(), datetime.now(BRASILIA).date()
    wanted = parse_wanted(given, may_see_all=sees_personal_data(user), today=today)
    async with state["reading"].connect() as db:
        found = await load_prices(await raw_driver_of(db), wanted)
        mirror = await state["mirrors"].load(db, wanted.question)
    return wanted, await asyncio.to_thread(research, wanted, found, mirror), mirror
