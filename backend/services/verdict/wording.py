"""The verdict in one language. Pure."""

from backend.language.translator import Language, Text, Translator
from backend.models.verdict import (
    Judged,
    ResourceVerdict,
    SyncVerdict,
    VerdictAction,
    VerdictFact,
    VerdictTrouble,
)
from backend.services.verdict import state


def word(verdict: state.Verdict, language: Language) -> SyncVerdict:
    """The verdict as the API answers it."""
    translator = Translator(language, verdict.generated_at)
    facts = [
        VerdictFact(fact=fact, **_words(said, translator), action=_word_action(said.action, translator))
        for fact, said in verdict.facts.items()
    ]
    return SyncVerdict(
        **_words(verdict.whole, translator),
        action=_word_action(verdict.whole.action, translator),
        facts=facts,
        resources=[_word_resource(one, translator) for one in verdict.resources],
        troubles=[_word_trouble(one, translator) for one in verdict.troubles],
        language=language,
        generated_at=verdict.generated_at,
    )


def _words(said: state.Judgement, translator: Translator) -> dict[str, object]:
    return {
        "state": said.state,
        "code": said.code,
        "title": translator.say(said.title),
        "text": translator.say(said.text),
        "since": said.since,
    }


def _word_action(action: state.Action | None, translator: Translator) -> VerdictAction | None:
    if action is None:
        return None
    return VerdictAction(
        code=action.code,
        label=translator.say(Text(f"action.{action.code}")),
        method=action.method,
        path=action.path,
        body=None if action.body is None else dict(action.body),
    )


def _word_resource(one: state.ResourceVerdict, translator: Translator) -> ResourceVerdict:
    days, updates = one.days, one.of.updates
    return ResourceVerdict(
        resource=one.of.resource,
        label=one.of.label,
        fresh=Judged(**_words(one.fresh, translator)),
        complete=Judged(**_words(one.complete, translator)),
        updated_until=updates.updated_until if updates else None,
        days=days.days,
        days_complete=days.complete,
        days_missing=days.missing,
        days_failed=days.failed,
        days_rejected=days.rejected,
    )


def _word_trouble(one: state.Trouble, translator: Translator) -> VerdictTrouble:
    return VerdictTrouble(
        id=one.id,
        kind=one.kind,
        fact=one.fact,
        **_words(one.said, translator),
        count=one.count,
        execution_ids=list(one.execution_ids),
        original=one.original,
        action=_word_action(one.said.action, translator),
        can_acknowledge=one.fingerprint is not None,
        acknowledged_by=one.acknowledged.by if one.acknowledged else None,
        acknowledged_at=one.acknowledged.at if one.acknowledged else None,
    )
