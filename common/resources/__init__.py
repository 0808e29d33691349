"""The resources of the portal that are mirrored, each described once."""

from common.resources.contratacoes import CONTRATACOES
from common.resources.contratos import CONTRATOS
from common.resources.description import Resource

RESOURCES: tuple[Resource, ...] = (CONTRATACOES, CONTRATOS)
"""In the order in which they are read."""
RESOURCES_BY_NAME = {resource.name: resource for resource in RESOURCES}
RESOURCE_NAMES = tuple(RESOURCES_BY_NAME)
