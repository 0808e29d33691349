"""Examples of answers for the OpenAPI document, by operation; a test holds them to their models."""

from collections.abc import Mapping
from typing import Any

_PROGRESS = {
    "percent": 62.5,
    "slices_total": 19,
    "slices_done": 11,
    "slices_failed": 0,
    "slices_running": 4,
    "pages_done": 38,
    "records_inserted": 412,
    "records_updated": 37,
    "records_rejected": 0,
    "itens_written": 3120,
}
_EXECUTION = {
    "id": 42,
    "resource": "contratacoes",
    "mode": "update",
    "criterio": "atualizacao",
    "trigger": "schedule",
    "requested_by": None,
    "retry_of": None,
    "window_start": "2026-03-10T09:35:00",
    "window_end": "2026-03-10T10:00:00",
    "status": "success",
    "phase": "finished",
    "records_processed": 449,
    "records_rejected": 0,
    "itens_owed": 0,
    "duration_seconds": 48.2,
    "cause": None,
    "error_message": None,
    "cancelled_by": None,
    "cancelled": False,
    "created_at": "2026-03-10T13:00:00Z",
    "updated_at": "2026-03-10T13:00:49Z",
    "started_at": "2026-03-10T13:00:01Z",
    "finished_at": "2026-03-10T13:00:49Z",
}
_GOAL = {
    "resource": "contratos",
    "label": "Contratos e empenhos",
    "from_day": "2021-01-01",
    "origin": "setting",
    "set_by": None,
    "set_at": None,
    "paused": False,
    "paused_by": None,
    "paused_at": None,
    "pause_reason": None,
    "days": 1895,
    "days_complete": 620,
    "days_rejected": 2,
    "days_failed": 1,
    "days_missing": 1273,
    "oldest_missing": "2021-01-01",
    "newest_missing": "2024-06-27",
    "requests_left": 6140,
    "hours_left": 4.78,
    "execution_id": 57,
}
_ACCEPTED = {"success": True, "message": "Sync request published: update", "request_id": "42"}

EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "create_sync": _ACCEPTED,
    "retry_execution": {**_ACCEPTED, "message": "Retry of execution 41 started"},
    "plan_sync": {
        "resource": "contratacoes",
        "slices": 589,
        "days": 31,
        "modalidades": 19,
        "requests_estimate": 131480,
        "records_estimate": 128900,
        "seconds_estimate": 21300,
        "basis": "Registros: média de 1140 fatias passadas, por modalidade, com fins de semana à parte;"
        " tempo: ritmo das últimas 20 execuções, 6.2 pedidos/s.",
    },
    "get_status": {
        "last_execution": "2026-03-10T13:00:00Z",
        "status": "running",
        "resource": "contratacoes",
        "mode": "update",
        "window_start": "2026-03-10T09:35:00",
        "window_end": "2026-03-10T10:00:00",
        "records_processed": 449,
        "itens_owed": 0,
        "duration_seconds": None,
        "cause": None,
        "error_message": None,
        "last_updated": "2026-03-10T13:00:31Z",
        "execution_id": 42,
        "phase": "running",
        "progress": _PROGRESS,
    },
    "list_executions": {
        "executions": [_EXECUTION],
        "total_count": 2310,
        "success_count": 2301,
        "error_count": 8,
        "running_count": 1,
        "next_cursor": "42",
    },
    "get_execution": {
        **_EXECUTION,
        "progress": {**_PROGRESS, "percent": 100, "slices_done": 19, "slices_running": 0},
        "failed_slices": [],
        "rejected_records": [],
    },
    "cancel_executions": {"cancelled": 2, "execution_ids": [42, 43], "remaining": 0},
    "get_coverage": {
        "modalidades": [6, 8],
        "days": [
            {
                "day": "2026-03-09",
                "state": "complete",
                "complete": 2,
                "partial": 0,
                "failed": 0,
                "running": 0,
                "rejected": 0,
                "missing": 0,
                "records": 4832,
                "total_registros": 4832,
                "records_rejected": 0,
                "modalidades": None,
            }
        ],
    },
    "list_resources": {
        "resources": [
            {
                "name": "contratacoes",
                "label": "Contratações",
                "criterios": ["publicacao", "atualizacao"],
                "is_divided": True,
                "is_scheduled": True,
            }
        ]
    },
    "list_schedules": {
        "schedules": [
            {
                "name": "update",
                "resource": "contratacoes",
                "label": "Contratações",
                "action": "update",
                "cron": "*/15 * * * *",
                "default_cron": "*/15 * * * *",
                "enabled": True,
                "paused": False,
                "paused_at": None,
                "paused_by": None,
                "pause_reason": None,
                "next_runs": ["2026-03-10T13:15:00Z"],
                "last_tick": {"due_at": "2026-03-10T13:00:00Z", "execution_ids": [42], "skipped_reason": None},
                "updated_at": None,
                "updated_by": None,
            }
        ]
    },
    "list_goals": {"goals": [_GOAL]},
    "set_goal": {**_GOAL, "origin": "api", "set_by": "admin", "set_at": "2026-03-10T13:00:00Z"},
    "plan_goal": {
        "resource": "contratos",
        "from_day": "2021-01-01",
        "days": 1273,
        "slices": 1273,
        "requests": 6140,
        "records": 2870000,
        "hours": 4.78,
        "bytes": 7462000000,
        "basis": "Registros: média de 620 fatias passadas, com fins de semana à parte;"
        " tempo: ritmo das últimas 20 execuções, 0.4 pedidos/s.",
    },
    "create_token": {"access_token": "eyJhbGciOiJIUzI1NiIs...", "token_type": "bearer", "expires_in": 1800},
    "get_current_user": {"authentication": True, "username": "admin", "role": "admin"},
    "get_health": {
        "status": "ok",
        "database": "connected",
        "workers": "ok",
        "broker": "connected",
        "broker_blocked": False,
        "queue": {"messages": 0, "consumers": 1},
        "timestamp": "2026-03-10T13:00:00Z",
    },
}
