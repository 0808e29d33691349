"""The verdict's sentences over several resources."""

from datetime import UTC, date, datetime

from backend.services.verdict.judging import judge
from backend.services.verdict.state import Days, GoalState, Mirror, MirrorOf, Updates
from backend.services.verdict.wording import word

GOAL = GoalState(
    date(2026, 11, 25), days=4, days_complete=4, days_missing=0, days_failed=0, days_rejected=0, hours_left=None
)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
UPDATES = Updates("*/15 * * * *", updated_until=NOW, parts=1, last_success_at=NOW, has_complete_day=True)
DAYS = Days(4, complete=4, first=date(2026, 11, 25))


def test_several_resources_that_are_complete_are_one_sentence() -> None:
    resources = [MirrorOf(name, name, UPDATES, DAYS, GOAL) for name in ("contratacoes", "atas")]
    verdict = judge(Mirror(NOW, resources=resources))
    assert word(verdict, "en").facts[1].text.startswith("8 days of 2 resources read whole. ")
