"""Copies of the product, run in its place: as it is, so that no edit disturbs a storm; or broken on purpose.

Each variant is a plausible mistake. The invariants are worth something if they notice it.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.chaos.services import ROOT

COPIED = ("common", "ingestor", "backend", "migrations", "alembic.ini", "simulator", "tests/chaos")
Patches = Mapping[str, tuple[tuple[str, str], ...]]

UNBROKEN: Patches = {}

LEASE_NEVER_TAKEN_OVER: Patches = {
    "common/lifecycle/slices.py": (
        (
            (
                "                  AND (lease_until IS NULL OR lease_until < now())\n"
                "                  AND (run_after IS NULL OR run_after <= now())\n"
            ),
            (
                "                  AND lease_until IS NULL\n"
                "                  AND (run_after IS NULL OR run_after <= now())\n"
            ),
        ),
    ),
}

FAILED_PAGE_SKIPPED: Patches = {
    "ingestor/sources/pncp/listing.py": (
        (
            "            page = await self._fetch_within(number, share)\n",
            (
                "            page = await self._fetch_within(number, share)\n"
                "        except PncpUnavailable:\n"
                "            page = Page(number, 0, 0, [])\n"
            ),
        ),
    ),
}

PROGRESS_APART_FROM_DATA: Patches = {
    "ingestor/slices.py": (
        (
            "    batch, counts = await store_page(",
            ("    bundles, batch = batch.bundles, replace(batch, bundles=[])\n    batch, counts = await store_page("),
        ),
        (
            (
                "    if completes:\n"
                "        await mark_absent(db, work.claim, batch.resource, progress.evidence_with(batch).rows)\n"
                "    return batch, counts, completes\n"
            ),
            (
                "    await db.commit()\n"
                "    if bundles:\n"
                "        async with work.tools.engine.begin() as other:\n"
                "            await slices.hold(other, work.claim)\n"
                "            await store_bundles(other, work.resource, bundles)\n"
                "    return batch, counts, completes\n"
            ),
        ),
        (
            "from ingestor.store.batch import holds_records_of, load_versions, mark_absent, store_page\n",
            (
                "from ingestor.store.batch import holds_records_of, load_versions, mark_absent, store_page\n"
                "from ingestor.store.batch import store_bundles\n"
            ),
        ),
    ),
}

LEASE_IGNORED: Patches = {
    "common/lifecycle/slices.py": (
        (
            (
                "                  AND (lease_until IS NULL OR lease_until < now())\n"
                "                  AND (run_after IS NULL OR run_after <= now())\n"
            ),
            "                  AND (run_after IS NULL OR run_after <= now())\n",
        ),
    ),
}

LEASES_OF_OTHERS_RENEWED: Patches = {
    "common/lifecycle/slices.py": (
        (
            "          FROM unlocked WHERE s.id = unlocked.id\n",
            "         WHERE s.status = 'running' AND EXISTS (SELECT FROM unlocked)\n",
        ),
    ),
}

PLANNED_EXECUTION_REFUSED: Patches = {
    "common/lifecycle/admission.py": (
        (
            "         WHERE id = :id AND status = 'running' AND planned_at IS NULL AND published_at IS NULL\n",
            "         WHERE id = :id AND status = 'running'\n",
        ),
    ),
}

OLDER_VERSION_WINS: Patches = {
    "ingestor/store/statements.py": (
        (
            "         WHERE excluded.{header} > known.{header}\n",
            "         WHERE excluded.{whole} <> known.{whole}\n",
        ),
    ),
    "ingestor/sources/pncp/sight.py": (('    return judged == "newer" or (', '    return judged != "unchanged" or ('),),
}

LISTING_NOT_COUNTED: Patches = {
    "ingestor/sources/pncp/completeness.py": (
        ("    missing = 0 if moves else missing_rows(evidence)\n", "    missing = 0\n"),
    ),
}

GONE_ITEMS_STAY: Patches = {
    "ingestor/store/lists.py": (
        ("        await driver.executemany(statements.delete_gone, kept)\n", "        pass\n"),
    ),
}

LISTS_OF_BEFORE_KEPT: Patches = {
    "ingestor/store/statements.py": (
        (
            (
                "CASE WHEN excluded.{header} <= known.{header} AND excluded.{whole} <= known.{whole}\n"
                "                                      THEN known.{later.read_at} END"
            ),
            "known.{later.read_at}",
        ),
    ),
}

FAILED_PARTS_FORGOTTEN: Patches = {
    "ingestor/debts.py": (("    to_read = [*left, *read.failed]\n", "    to_read = left\n"),),
}

SCOPE_NOT_ASKED: Patches = {
    "ingestor/store/later.py": (
        (
            "           AND {in_scope(resource)}\n     ORDER BY c.{key}\n",
            "     ORDER BY c.{key}\n",
        ),
    ),
}

FAILED_DOMAIN_TABLE_SKIPPED: Patches = {
    "ingestor/dominios.py": (("    if failed:\n        raise _summed_up(failed)\n", ""),),
}

SIGTERM_ENDS_AT_ONCE: Patches = {
    "ingestor/__main__.py": (
        ("    def on_signal() -> None:\n", "    def on_signal() -> None:\n        os._exit(0)\n"),
    ),
}

WATERMARK_OF_ANOTHER_MOVED: Patches = {
    "common/watermarks.py": (
        ("    SELECT resource, part, mode,", "    SELECT 'contratacoes' AS resource, part, mode,"),
    ),
}

COVERED_BY_ANOTHER: Patches = {
    "backend/services/coverage.py": (("WHERE resource = :resource AND criterio", "WHERE criterio"),),
}

EQUAL_DAYS_UNCHANGED: Patches = {
    "ingestor/sources/pncp/sight.py": (
        ('(judged == "unchanged" and (has_day_stamps or not has_itens))', '(judged == "unchanged" and not has_itens)'),
    ),
}

ROWS_COUNTED_BY_PLAN: Patches = {
    "ingestor/sources/pncp/sight.py": (
        ("[name] if counts is None else _entry_names(resource, counts, name, raw)", "[name]"),
    ),
}

NO_SHARED_PAUSE: Patches = {
    "ingestor/sources/pncp/shared_state.py": (
        (
            " AS asked (source) LEFT JOIN source_pauses p USING (source)\n",
            " AS asked (source) LEFT JOIN (SELECT * FROM source_pauses WHERE false) p USING (source)\n",
        ),
    ),
}

SABOTAGE = {
    "covered-by-another": COVERED_BY_ANOTHER,
    "equal-days-unchanged": EQUAL_DAYS_UNCHANGED,
    "failed-domain-table-skipped": FAILED_DOMAIN_TABLE_SKIPPED,
    "failed-page-skipped": FAILED_PAGE_SKIPPED,
    "failed-parts-forgotten": FAILED_PARTS_FORGOTTEN,
    "gone-items-stay": GONE_ITEMS_STAY,
    "lease-ignored": LEASE_IGNORED,
    "lease-never-taken-over": LEASE_NEVER_TAKEN_OVER,
    "leases-of-others-renewed": LEASES_OF_OTHERS_RENEWED,
    "listing-not-counted": LISTING_NOT_COUNTED,
    "lists-of-before-kept": LISTS_OF_BEFORE_KEPT,
    "no-shared-pause": NO_SHARED_PAUSE,
    "older-version-wins": OLDER_VERSION_WINS,
    "planned-execution-refused": PLANNED_EXECUTION_REFUSED,
    "progress-apart-from-data": PROGRESS_APART_FROM_DATA,
    "rows-counted-by-plan": ROWS_COUNTED_BY_PLAN,
    "scope-not-asked": SCOPE_NOT_ASKED,
    "sigterm-ends-at-once": SIGTERM_ENDS_AT_ONCE,
    "watermark-of-another-moved": WATERMARK_OF_ANOTHER_MOVED,
}
"""Every broken copy by the name that `./pncp chaos --sabotage` takes."""

NEW_KEY_AT_EACH_TRY: Patches = {
    "ingestor/delivery/deliver.py": (
        ("        idempotency_key=frozen.idempotency,\n", "        idempotency_key=__import__('uuid').uuid4(),\n"),
    ),
}

FAILURE_COUNTS_AS_SENT: Patches = {
    "ingestor/delivery/verdicts.py": (
        (
            "def _later(kind: Kind, reason: str, answer: Answer, sent: Sent) -> Verdict:\n",
            (
                "def _later(kind: Kind, reason: str, answer: Answer, sent: Sent) -> Verdict:\n"
                "    if answer.failure == 'timeout' or (answer.status or 0) >= 500:\n"
                "        return Verdict(Kind.SETTLED, accepted=sent.keys)\n"
            ),
        ),
    ),
}

SETTLED_WITHOUT_THE_SLICE: Patches = {
    "ingestor/delivery/deliver.py": (
        (
            "    async def settle(db: AsyncConnection) -> tuple[int, int]:\n        await _hold(db, work)\n",
            "    async def settle(db: AsyncConnection) -> tuple[int, int]:\n",
        ),
    ),
}

UNKNOWN_RECORDS_FORGOTTEN: Patches = {
    "ingestor/delivery/ledger.py": (
        ("        await driver.execute(_GIVE_BACK, stream_id, unknown)\n", "        pass\n"),
    ),
}

SHORT_OVERLAP: Patches = {
    "common/difference.py": (("OVERLAP = timedelta(minutes=10)\n", "OVERLAP = timedelta(seconds=1)\n"),),
}
"""No mistake: ten minutes would hide for as long where a cursor has been moved to."""

CURSOR_AT_THE_END: Patches = SHORT_OVERLAP | {
    "ingestor/delivery/deliver.py": (
        (
            '"began_at": claim.began_at,',
            '"began_at": type(claim.began_at).now(claim.began_at.tzinfo),',
        ),
    ),
}

SABOTAGE_OF_DELIVERIES = {
    "cursor-at-the-end": CURSOR_AT_THE_END,
    "failure-counts-as-sent": FAILURE_COUNTS_AS_SENT,
    "new-key-at-each-try": NEW_KEY_AT_EACH_TRY,
    "settled-without-the-slice": SETTLED_WITHOUT_THE_SLICE,
    "unknown-records-forgotten": UNKNOWN_RECORDS_FORGOTTEN,
}
"""The broken copies of which the storm of deliveries is to notice each."""


def make_copy(folder: Path, patches: Patches) -> Path:
    """A copy of the product with these lines changed; every one of them must be there, and once."""
    root = folder / "product"
    for name in COPIED:
        source, target = ROOT / name, root / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(source, target)
    for name, changes in patches.items():
        path = root / name
        text = path.read_text()
        for old, new in changes:
            assert text.count(old) == 1, f"{name} does not hold this line once any more: {old}"
            text = text.replace(old, new)
        path.write_text(text)
    return root
