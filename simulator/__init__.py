"""A local PNCP: generated or recorded contratações, items, contratos, atas, PCAs and instrumentos de cobrança, served
as the portal serves them, with its faults on demand.
"""

from simulator.app import Simulator, Stats, create_app, serve
from simulator.generated import generate
from simulator.quirks import Quirks, Rule
from simulator.store import Query
from simulator.world import World, brasilia_now

__all__ = [
    "Query",
    "Quirks",
    "Rule",
    "Simulator",
    "Stats",
    "World",
    "brasilia_now",
    "create_app",
    "generate",
    "serve",
]
