"""The resources of the portal that are mirrored, each described once."""

from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.description import Resource

RESOURCES: tuple[Resource, ...] = (CONTRATACOES, CONTRATOS)
"""In the order in which they are read."""
RESOURCES_BY_NAME = {resource.name: resource for resource in RESOURCES}
RESOURCE_NAMES = tuple(RESOURCES_BY_NAME)
LISTINGS_OF = {resource.name: "consulta" if resource is CONTRATACOES else resource.name for resource in RESOURCES}
"""What each resource's listings are called in `source_pauses`: those of one may fail while the portal lists others."""
