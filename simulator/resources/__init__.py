"""What the portal lists, one description per resource: parameters, page sizes, stamps, numbers, empty answers.

They are written from the portal's own papers and recordings, and share nothing with the mirror's descriptions: of two
independent readings of a parameter's name one catches the other's mistake, which the portal would ignore in silence.
"""

from typing import Final

from simulator.resources.atas import ATAS
from simulator.resources.contratacoes import CONTRATACOES
from simulator.resources.contratos import CONTRATOS
from simulator.resources.description import CRITERIOS, Criterio, Listing, Resource
from simulator.resources.instrumentos_cobranca import INSTRUMENTOS_COBRANCA
from simulator.resources.pcas import PCAS

RESOURCES: Final = {
    resource.name: resource for resource in (CONTRATACOES, CONTRATOS, ATAS, PCAS, INSTRUMENTOS_COBRANCA)
}
# Which listing stands at a path.
LISTINGS: Final[dict[str, tuple[Resource, Criterio]]] = {
    listing.path: (resource, criterio)
    for resource in RESOURCES.values()
    for criterio, listing in resource.listings.items()
}

__all__ = [
    "ATAS",
    "CONTRATACOES",
    "CONTRATOS",
    "CRITERIOS",
    "INSTRUMENTOS_COBRANCA",
    "LISTINGS",
    "PCAS",
    "RESOURCES",
    "Criterio",
    "Listing",
    "Resource",
]
