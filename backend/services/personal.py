"""What viewers see of values that the portal sent: CPFs are masked. Administrators see the whole."""

from collections.abc import Mapping
from typing import Any

from backend.models.changes import Changes
from backend.models.dashboard import SyncDashboard
from backend.models.execution_log import ExecutionLog
from backend.models.rejected import RejectedRecords
from backend.models.sync import SyncExecutionDetail
from common.entities.declared import PERSONAL as PERSONAL_TYPES
from common.entities.declared import Declaration
from common.masking import mask_fields, mask_numbers, mask_text, mask_texts
from common.resources import PERSONAL


def mask_dashboard(dashboard: SyncDashboard) -> SyncDashboard:
    """The dashboard for a viewer: examples are cut and of any field, so that all that looks like a CPF is masked."""
    drift = [field.model_copy(update={"example": mask_numbers(field.example)}) for field in dashboard.drift]
    return dashboard.model_copy(update={"drift": drift})


def mask_detail(detail: SyncExecutionDetail) -> SyncExecutionDetail:
    """An execution for a viewer: the reasons of rejected records may quote their values."""
    rejected = [
        record.model_copy(
            update={
                "natural_key": record.natural_key and mask_text(record.natural_key),
                "reason": mask_text(record.reason),
            }
        )
        for record in detail.rejected_records
    ]
    return detail.model_copy(update={"rejected_records": rejected})


def mask_rejected(found: RejectedRecords) -> RejectedRecords:
    """Rejected records for a viewer: without what the portal sent, and their reasons may quote its values."""
    masked = [
        record.model_copy(
            update={
                "natural_key": record.natural_key and mask_text(record.natural_key),
                "reason": mask_text(record.reason),
                "explanation": mask_text(record.explanation),
                "payload": None,
            }
        )
        for record in found.records
    ]
    return found.model_copy(update={"records": masked})


def mask_log(found: ExecutionLog) -> ExecutionLog:
    """Lines of a delivery's log for a viewer: they may name records and quote answers."""
    lines = [line.model_copy(update={"fields": mask_texts(line.fields)}) for line in found.lines]
    return found.model_copy(update={"lines": lines})


def mask_changes(changes: Changes) -> Changes:
    """Changes for a viewer. A kind of person that has not changed is not there, so that eleven digits are a CPF."""
    masked = [
        change.model_copy(update={"campos": change.campos and mask_texts(mask_fields(change.campos, PERSONAL))})
        for change in changes.registros
    ]
    return changes.model_copy(update={"registros": masked})


def mask_record(data: Mapping[str, Any], declaration: Declaration | None) -> dict[str, Any]:
    """A declared record for a viewer: eleven digits in a column for CPFs are one, whatever they add up to."""
    columns = {} if declaration is None else declaration.columns
    personal = {column.name: () for column in columns.values() if column.type in PERSONAL_TYPES}
    masked: dict[str, Any] = mask_texts(mask_fields(data, personal))
    return masked
