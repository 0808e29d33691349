"""What viewers see of values that the portal sent: CPFs are masked. Administrators see the whole."""

from backend.models.dashboard import SyncDashboard
from backend.models.sync import SyncExecutionDetail
from common.masking import mask_numbers, mask_text


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
