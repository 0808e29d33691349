"""The resources of the portal that are mirrored, each described once."""

from collections.abc import Iterable

from common.resources.atas import ATAS
from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.description import Child, Column, Resource
from common.resources.dominios import DOMINIOS, LABEL
from common.resources.instrumentos_cobranca import INSTRUMENTOS_COBRANCA
from common.resources.parties import PARTIES
from common.resources.pcas import PCAS

RESOURCES: tuple[Resource, ...] = (CONTRATACOES, CONTRATOS, ATAS, PCAS, INSTRUMENTOS_COBRANCA)
"""In the order in which they are read."""
RESOURCES_BY_NAME = {resource.name: resource for resource in RESOURCES}
RESOURCE_NAMES = tuple(RESOURCES_BY_NAME)
LISTINGS_OF = {resource.name: "consulta" if resource is CONTRATACOES else resource.name for resource in RESOURCES}
"""What each resource's listings are called in `source_pauses`: those of one may fail while the portal lists others."""
SERVICE_OF = LISTINGS_OF | {DOMINIOS: DOMINIOS}
"""The same of all that an execution reads."""
LABELS = {resource.name: resource.label for resource in RESOURCES} | {DOMINIOS: LABEL}
"""And what that is called, for people."""
INLINE: tuple[tuple[Resource, Child], ...] = tuple((each, each.child) for each in RESOURCES if each.child)
"""The lists that are read with their records, each with whose records."""
LATER: tuple[tuple[Resource, Child], ...] = tuple((each, child) for each in RESOURCES for child in each.later)
"""And those that are only ever read later."""
LATER_SERVICES = tuple(dict.fromkeys(child.service for _, child in LATER))
SERVICES = (*SERVICE_OF.values(), *(child.service for _, child in INLINE), *LATER_SERVICES)
"""What the portal answers, or fails to answer, for itself."""


def _personal_fields(tables: Iterable[Iterable[Column]]) -> dict[str, tuple[str, ...]]:
    """The names of fields and columns with personal data, each with those of the kind of person that stands beside."""
    found: dict[str, tuple[str, ...]] = {}
    for columns in map(tuple, tables):
        kinds = {column.path: column.name for column in columns}
        for column in columns:
            if column.personal is not None:
                beside = (_last_key(column.personal), kinds[column.personal]) if column.personal else ()
                for name in (_last_key(column.path), column.name):
                    found[name] = tuple(dict.fromkeys((*found.get(name, ()), *beside)))
    return found


def _last_key(path: str) -> str:
    return path.rpartition(".")[2]


PERSONAL = _personal_fields(
    (
        *(resource.columns for resource in RESOURCES),
        *(child.columns for _, child in (*INLINE, *LATER)),
        *(party.columns for party in PARTIES),
    )
)
"""Fields and columns that may hold the number of a natural person, as `common.masking.mask_fields` takes them."""
