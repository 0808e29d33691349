"""A client of the simulated portal that asks once, and what a recorded or invented record looks like."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from simulator import Simulator

REAL = Path(__file__).parents[1].parent / "shared" / "pncp" / "real"
NO_RECORDINGS = "the recordings of the portal lie outside the project and are not here"


class PortalClient:
    """Asks a simulator for paths, and gives it orders."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self.quirks = simulator.quirks
        self.world = simulator.world
        self.session = session

    async def get(self, path: str, **parameters: Any) -> tuple[int, bytes]:
        """Status and body of a path under /api; parameters that are None are left out."""
        asked = {name: value for name, value in parameters.items() if value is not None}
        async with self.session.get(self.simulator.base_url + path, params=asked) as response:
            assert response.headers["Content-Type"].startswith(("application/json", "text/html"))
            return response.status, await response.read()

    async def parsed(self, path: str, **parameters: Any) -> Any:
        """The JSON of an answer with status 200."""
        status, body = await self.get(path, **parameters)
        assert status == 200, body
        return json.loads(body)

    async def order(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        """Status and JSON of a control endpoint; what a GET is given goes into its query."""
        url = f"{self.simulator.control_url}/{path}"
        given: dict[str, Any] = {"params": body} if method == "GET" else {"json": body}
        async with self.session.request(method, url, **given) as response:
            return response.status, await response.json()


def shape_of(value: Any, path: str = "") -> set[tuple[str, str]]:
    """The keys of a JSON object, also of those within it and within its arrays, each with its JSON type."""
    if isinstance(value, list):
        return {(path, "array")}.union(*(shape_of(inner, f"{path}[]") for inner in value))
    if not isinstance(value, dict):
        kinds = {bool: "bool", int: "number", float: "number", Decimal: "number", str: "string", type(None): "null"}
        return {(path, kinds[type(value)])}
    return {(path, "object")}.union(*(shape_of(inner, f"{path}.{key}") for key, inner in value.items()))
