"""When something is wrong, when reminders are due, and the text of messages."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from backend.config import BackendSettings
from backend.language.catalogue import SENTENCES
from backend.language.translator import Translator, say
from backend.services.alerts.channels import Email, Webhook, channels_of
from backend.services.alerts.deliveries import LONGEST_PAUSE, pause_after
from backend.services.alerts.episodes import Delivery, next_event
from backend.services.alerts.findings import (
    LONGEST_ERROR,
    MOST_SHOWN,
    is_overdue,
    is_suspicious,
    judge_day,
    merge_failures,
    one_line,
)
from backend.services.alerts.sentences import summarise
from backend.services.alerts.texts import Episode, compose, compose_test
from backend.services.verdict.outages import told_failure
from common.config import ConfigurationError, load_settings
from common.lifecycle.causes import CAUSES

NOON = datetime(2026, 3, 10, 15, tzinfo=UTC)  # twelve in Brasília
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
QUARTERLY = "*/15 * * * *"


def failed(number: int, **parts: Any) -> dict[str, Any]:
    return {
        "id": number,
        "mode": "update",
        "criterio": "atualizacao",
        "trigger": "schedule",
        "window_start": None,
        "window_end": None,
        "finished_at": NOON.isoformat(),
        "cause": "no_answer",
        "error_message": "19 of 19 slices failed",
        **parts,
    }


def episode(**parts: Any) -> Episode:
    details = {**merge_failures(None, [failed(1)]), "overdue": False, "late": []}
    return Episode(
        **{"id": 7, "kind": "sync", "summary": "1 execução falhou", "details": details, "opened_at": NOON, **parts}
    )


def said(kind: str, details: dict[str, Any]) -> str:
    return Translator("pt-BR").say(summarise(kind, details))


@pytest.mark.parametrize(
    ("cron", "ago", "overdue"),
    [
        (QUARTERLY, 59 * MINUTE, False),
        (QUARTERLY, 60 * MINUTE, True),
        ("0 6 * * *", 20 * HOUR, True),  # due at six, and nothing by noon
        ("0 6 * * *", 5 * HOUR, False),  # succeeded at seven; nothing is due before tomorrow
        ("45 11 * * *", 20 * HOUR, False),  # due a quarter of an hour ago: it may still be at work
        ("*/30 14-22 * * *", 13 * HOUR, False),  # at night there are none
    ],
)
def test_updates_are_overdue_after_an_hour_in_which_one_was_due(cron: str, ago: timedelta, overdue: bool) -> None:
    assert is_overdue(cron, NOON, limit=HOUR, last=[None, NOON - ago]) is overdue


@pytest.mark.parametrize(
    ("cron", "minutes", "overdue"),
    [
        ("20 * * * *", 20, False),
        ("20 * * * *", 99, True),  # the one at 11:20 has not come either
        ("20 * * * *", 65, True),  # of 11:20, while it read until 10:55
        ("20 11 * * *", 60 * 20, True),
        ("0 22 * * *", 60 * 13, False),
        ("50 11 * * *", 60 * 24, False),  # under way for ten minutes
    ],
)
def test_an_hourly_update_is_not_late_after_20_minutes_nor_a_nightly_one_at_noon(
    cron: str, minutes: int, overdue: bool
) -> None:
    assert is_overdue(cron, NOON, limit=HOUR, last=[NOON - minutes * MINUTE]) is overdue


def test_the_latest_of_success_resumption_and_start_counts() -> None:
    assert not is_overdue(QUARTERLY, NOON, limit=HOUR, last=[NOON - 5 * HOUR, NOON - 10 * MINUTE, None])
    assert is_overdue(QUARTERLY, NOON, limit=HOUR, last=[NOON - 5 * HOUR, NOON - 2 * HOUR, None])


def test_an_episode_keeps_what_it_has_seen_and_knows_what_is_pending() -> None:
    first = merge_failures(None, [failed(1), failed(2)])
    second = merge_failures(first, [failed(2), failed(3)])
    assert [(one["id"], one["is_pending"]) for one in second["executions"]] == [(3, True), (2, True), (1, False)]
    assert said("sync", {**second, "late": []}) == "3 execuções falharam; 2 ainda por refazer"


def test_an_endless_episode_keeps_the_newest_and_counts_the_others() -> None:
    all_of_them = [failed(number) for number in range(1, MOST_SHOWN + 51)]
    details = merge_failures(merge_failures(None, all_of_them), all_of_them)  # they are seen at every look
    assert (len(details["executions"]), len(details["execution_ids"])) == (MOST_SHOWN, 150)
    assert details["executions"][0]["id"] == MOST_SHOWN + 50
    assert said("sync", {**details, "late": []}) == "150 execuções falharam"


def test_no_update_at_all_is_told_in_the_same_line() -> None:
    late = {"has_gap": False, "last_success_at": NOON.isoformat(), "updated_until": None}
    both = [late | {"resource": "contratacoes"}, late | {"resource": "contratos", "last_success_at": None}]
    details = {**merge_failures(None, [failed(1)]), "overdue": True, "late": both}
    assert said("sync", details) == (
        "1 execução falhou; nenhuma atualização teve sucesso desde 10/03/2026 12:00; "
        "Contratos e empenhos: nenhuma atualização teve sucesso até agora"
    )


def test_an_error_becomes_one_line_of_bearable_length() -> None:
    assert one_line("a\r\nSubject: b\x00\x1b[31m  c") == "a Subject: b [31m c"
    assert len(one_line("x" * 10_000)) == LONGEST_ERROR + 3


@pytest.mark.parametrize(
    ("past", "fewest", "suspicious"),
    [
        ([3, 1, 2], 1, False),  # three weeks are no habit
        ([3, 1, 2, 5], 1, True),
        ([3, 1, 0, 5, 9, 9], 1, False),  # it has happened before
        ([60, 70, 49, 80], 50, False),
        ([60, 70, 50, 80], 50, True),
    ],
)
def test_nothing_is_suspicious_only_where_something_always_came(past: list[int], fewest: int, suspicious: bool) -> None:
    assert is_suspicious(past, fewest=fewest) is suspicious


def test_a_whole_empty_day_is_one_finding_and_a_small_modalidade_none() -> None:
    day, past = date(2026, 3, 9), [{6: 1800, 7: 20, 8: 3000}] * 5
    assert judge_day(day, 0, [6, 7, 8], past) == [{"day": "2026-03-09", "modalidade": None}]
    assert judge_day(day, 3000, [6, 7], past) == [{"day": "2026-03-09", "modalidade": 6}]
    assert judge_day(day, 4800, [7], past) == []
    assert judge_day(day, 0, [6, 7, 8], past[:3]) == []


def test_what_is_empty_is_told_in_a_line() -> None:
    listings = [
        {"resource": "atas", "day": "2026-03-09", "modalidade": None},
        {"resource": "contratacoes", "day": "2026-03-10", "modalidade": 6},
    ]
    quiet = {"contratacoes": NOON.isoformat(), "contratos": NOON.isoformat()}
    assert said("empty", {"listings": listings, "quiet": quiet}) == (
        "Atas de registro de preços: o dia 09/03/2026 foi lido sem nenhum registro; "
        "o dia 10/03/2026 foi lido sem nenhum registro na modalidade 6; "
        "as atualizações não trazem nada desde 10/03/2026 12:00; "
        "Contratos e empenhos: as atualizações não trazem nada desde 10/03/2026 12:00"
    )


# --- what is told when ------------------------------------------------------------------------------------------


def test_a_channel_hears_of_the_beginning_then_reminders_then_the_end() -> None:
    begun, ended = episode(), episode(resolved_at=NOON + 9 * HOUR)
    assert next_event(Delivery(), begun, NOON, 6 * HOUR) == "opened"
    told = Delivery(1, NOON)
    assert next_event(told, begun, NOON + 6 * HOUR - MINUTE, 6 * HOUR) is None
    assert next_event(told, begun, NOON + 6 * HOUR, 6 * HOUR) == "reminder"
    assert next_event(told, begun, NOON + 60 * HOUR, None) is None
    assert next_event(told, ended, NOON + 9 * HOUR, 6 * HOUR) == "recovered"
    assert next_event(Delivery(1, NOON, NOON), ended, NOON + 9 * HOUR, 6 * HOUR) is None


def test_what_was_over_before_it_could_be_told_is_told_in_one_message() -> None:
    failing = Delivery(failures=3, retry_at=NOON + HOUR)
    ended = episode(resolved_at=NOON + 5 * MINUTE)
    assert next_event(failing, ended, NOON + 59 * MINUTE, None) is None
    assert next_event(failing, ended, NOON + HOUR, None) == "recovered"


def test_a_channel_that_is_new_hears_of_what_is_open_and_not_of_what_is_over() -> None:
    assert next_event(None, episode(), NOON, None) == "opened"
    assert next_event(None, episode(resolved_at=NOON), NOON, None) is None


def test_a_failing_channel_is_tried_less_and_less_often_and_never_given_up() -> None:
    pauses = [pause_after(failures).total_seconds() for failures in (1, 2, 3, 7, 1000)]
    assert pauses == [30, 60, 120, LONGEST_PAUSE.total_seconds(), LONGEST_PAUSE.total_seconds()]


def test_a_delivery_survives_being_kept() -> None:
    delivery = Delivery(2, NOON, failures=3, retry_at=NOON + HOUR, error="o servidor recusou a conexão")
    assert Delivery.from_json(delivery.to_json()) == delivery


# --- what a message says ----------------------------------------------------------------------------------------


def test_the_first_message_says_what_since_when_why_and_what_to_do() -> None:
    message = compose("opened", episode(), number=1, public_url="https://pncp.example.org", reminder=6 * HOUR)
    assert message.subject == "[PNCP Sync] Alerta: sincronização com falhas desde 10/03/2026 12:00"
    for part in (
        "desde 10/03/2026 12:00 (horário de Brasília)",
        "1 execução falhou",
        "- 1, atualização da agenda, 10/03/2026 12:00: o portal não respondeu como devia",
        "Detalhe técnico:\n- execução 1: 19 of 19 slices failed\n",
        "./pncp retry 1",
        "a cada 6 h",
        "https://pncp.example.org/",
    ):
        assert part in message.text
    assert message.payload["alert"]["id"] == 7
    assert message.payload["event"] == "opened"


def test_the_last_message_says_why_it_is_over_and_asks_for_nothing() -> None:
    details = {**episode().details, "resolution": "o que falhou foi refeito"}
    ended = episode(details=details, resolved_at=NOON + HOUR)
    message = compose("recovered", ended, number=2, public_url=None, reminder=None)
    assert "Resolvido" in message.subject
    assert "até 10/03/2026 13:00" in message.text
    assert "Terminou: o que falhou foi refeito." in message.text
    assert "O que fazer" not in message.text


def test_every_cause_has_its_words_and_the_sentence_follows_as_the_technical_detail() -> None:
    for cause in CAUSES:
        details = {**merge_failures(None, [failed(1, cause=cause)]), "overdue": False, "late": []}
        message = compose("opened", episode(details=details), number=1, public_url=None, reminder=None)
        told, _, detail = message.text.partition("Detalhe técnico:")
        assert say(f"cause.{cause}", "pt-BR") in told
        assert "slices failed" not in told
        assert "19 of 19 slices failed" in detail


def test_an_episode_of_an_earlier_version_has_no_cause_and_is_told_all_the_same() -> None:
    details = {**merge_failures(None, [failed(1, cause=None)]), "overdue": False, "late": []}
    del details["executions"][0]["cause"]
    message = compose("opened", episode(details=details), number=1, public_url=None, reminder=None)
    assert "motivo não registrado" in message.text


@pytest.mark.parametrize(
    ("kind", "details", "line"),
    [
        ("source", {"services": [{"service": "itens", "error_message": "status 503"}]}, "serviço itens: status 503"),
        ("database", {"error_message": "could not extend file"}, "banco de dados: could not extend file"),
        (
            "itens",
            {"causes": [{"resource": "pcas", "cause": "status 500", "records": 3}]},
            "Planos de contratação anual: itens: status 500",
        ),
        ("itens", {"causes": [{"cause": "status 500", "contratacoes": 3}]}, "itens: status 500"),  # of earlier versions
    ],
)
def test_the_technical_detail_of_each_kind_follows_what_is_said_in_portuguese(
    kind: str, details: dict[str, Any], line: str
) -> None:
    told = episode(kind=kind, details=details, summary="algo falha")
    message = compose("opened", told, number=1, public_url=None, reminder=None)
    assert message.text.endswith(f"\nDetalhe técnico:\n- {line}\n")


def test_a_portal_that_answers_with_what_is_no_page_is_not_said_to_be_silent() -> None:
    translator = Translator("pt-BR")
    assert translator.say(told_failure("down", "no_answer")) == "não responde"
    assert translator.say(told_failure("down", "bad_answer")) == "dá respostas que não podem ser usadas"


def test_a_message_is_in_the_language_that_is_set_and_leads_to_the_execution() -> None:
    message = compose(
        "opened", episode(), number=1, public_url="https://pncp.example.org", reminder=6 * HOUR, language="en"
    )
    assert message.subject == "[PNCP Sync] Alert: failing synchronisation since 2026-03-10 12:00"
    for part in (
        "What happened: 1 execution failed.",
        "- 1, update of the schedule, 2026-03-10 12:00: the portal did not answer as it should",
        "Technical detail:\n- execution 1: 19 of 19 slices failed\n",
        "A reminder comes every 6 h",
        "See: https://pncp.example.org/#/execucoes/1",
    ):
        assert part in message.text
    assert message.payload["url"] == "https://pncp.example.org/#/execucoes/1"
    assert message.payload["alert"]["summary"] == "1 execution failed"


def test_every_sentence_of_a_message_follows_its_language() -> None:
    """No word of a message in English comes from the Portuguese catalogue."""
    ended = {"ended": [{"code": "alert.end.gap_read", "values": {}}], "resolution": "a lacuna foi lida"}
    told = episode(details={**episode().details, **ended}, resolved_at=NOON + HOUR)
    english = compose("recovered", told, number=1, public_url=None, reminder=None, language="en").text
    portuguese = compose("recovered", told, number=1, public_url=None, reminder=None).text
    assert "It ended: the gap was read." in english
    assert "Terminou: a lacuna foi lida." in portuguese
    assert all(pair[0] not in english for pair in SENTENCES.values() if "{" not in pair[0] and len(pair[0]) > 20)


def test_no_error_message_can_add_a_header() -> None:
    evil = failed(1, error_message=one_line("boom\r\nBcc: everyone@example.org\r\n\r\nHello"))
    details = {**merge_failures(None, [evil]), "overdue": False, "late": []}
    told = episode(summary="x\nBcc: everyone@example.org", details=details)
    message = compose("opened", told, number=1, public_url=None, reminder=None)
    channel = Email("mail.example.org", 25, "none", "pncp@example.org", ("a@example.org", "b@example.org"))
    letter = channel.compose(message)
    assert letter["Bcc"] is None
    assert letter["To"] == "a@example.org, b@example.org"
    assert "\n" not in letter["Subject"]


def test_messages_of_an_episode_share_a_thread_and_each_has_an_identity() -> None:
    channel = Email("mail.example.org", 25, "none", "pncp@example.org", ("a@example.org",))
    letters = [
        channel.compose(compose("opened", episode(), number=number, public_url=None, reminder=None))
        for number in (1, 2)
    ]
    assert letters[0]["References"] == letters[1]["References"]
    assert letters[0]["Message-ID"] != letters[1]["Message-ID"]
    again = channel.compose(compose("opened", episode(), number=1, public_url=None, reminder=None))
    assert again["Message-ID"] == letters[0]["Message-ID"]  # so that a repetition after a crash can be told


def test_a_test_message_says_that_it_is_one() -> None:
    message = compose_test(NOON, public_url="https://pncp.example.org")
    assert "teste" in message.text
    assert message.payload["event"] == "test"


# --- settings ---------------------------------------------------------------------------------------------------

MAIL = {"ALERT_EMAIL_TO": "ana@example.org", "ALERT_EMAIL_FROM": "pncp@example.org", "SMTP_HOST": "mail.example.org"}


def load(monkeypatch: pytest.MonkeyPatch, folder: Path, **variables: str) -> BackendSettings:
    monkeypatch.chdir(folder)
    for name in BackendSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in {"DATABASE_URL": "postgresql://u:p@h/db", **variables}.items():
        monkeypatch.setenv(name, value)
    return load_settings(BackendSettings)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (587, "starttls")),
        ({"SMTP_TLS": "true"}, (465, "tls")),
        ({"SMTP_STARTTLS": "false"}, (25, "none")),
        ({"SMTP_PORT": "2525"}, (2525, "starttls")),
    ],
)
def test_mail_is_secured_unless_it_is_said_that_it_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], expected: tuple[int, str]
) -> None:
    settings = load(monkeypatch, tmp_path, **MAIL, **variables)
    assert (settings.mail_port, settings.mail_security) == expected
    (channel,) = channels_of(settings)
    assert channel.name == "email"


def test_without_settings_no_message_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load(monkeypatch, tmp_path, ALERT_EMAIL_FROM="pncp@example.org")
    assert channels_of(settings) == []
    assert (settings.alert_no_success_minutes, settings.alert_reminder_minutes) == (60, 360)


def test_the_secrets_of_alerts_may_come_from_files_and_are_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hook").write_text("https://hooks.example.org/token-of-the-hook\n")
    (tmp_path / "password").write_text("word-of-the-mail\n")
    files = {"ALERT_WEBHOOK_URL_FILE": str(tmp_path / "hook"), "SMTP_PASSWORD_FILE": str(tmp_path / "password")}
    settings = load(monkeypatch, tmp_path, **MAIL, **files, SMTP_USERNAME="pncp")
    email, webhook = channels_of(settings)
    assert webhook == Webhook("https://hooks.example.org/token-of-the-hook")
    assert "of-the-" not in f"{settings} {email} {webhook}"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ALERT_EMAIL_TO": "ana@example.org"}, "SMTP_HOST: is required"),
        ({**MAIL, "ALERT_EMAIL_FROM": ""}, "ALERT_EMAIL_FROM: is required"),
        ({"SMTP_HOST": "mail.example.org"}, "ALERT_EMAIL_TO: is required"),
        ({**MAIL, "SMTP_USERNAME": "pncp"}, "SMTP_PASSWORD: is required"),
        ({**MAIL, "SMTP_PASSWORD": "word-of-the-mail"}, "SMTP_USERNAME: is required"),
        ({**MAIL, "SMTP_TLS": "true", "SMTP_STARTTLS": "true"}, "SMTP_STARTTLS: is not for"),
        (
            {**MAIL, "SMTP_USERNAME": "pncp", "SMTP_PASSWORD": "word-of-the-mail", "SMTP_STARTTLS": "false"},
            "SMTP_STARTTLS: must not be false",
        ),
        ({**MAIL, "ALERT_EMAIL_TO": "ana@example.org, Rui <rui@example.org>"}, "ALERT_EMAIL_TO: expected e-mail"),
        ({**MAIL, "ALERT_EMAIL_FROM": "pncp@example.org\nBcc: x@example.org"}, "ALERT_EMAIL_FROM: expected e-mail"),
        ({**MAIL, "SMTP_HOST": "mail.example.org:25"}, "SMTP_HOST: "),
        ({**MAIL, "SMTP_HOST": "mail example"}, "SMTP_HOST: expected the name"),
        ({**MAIL, "SMTP_PORT": "0"}, "SMTP_PORT: Input should be"),
        ({"ALERT_WEBHOOK_URL": "ftp://hooks.example.org/of-the-hook"}, "ALERT_WEBHOOK_URL: is not the URL"),
        ({"ALERT_WEBHOOK_URL": "https://u:of-the-hook@hooks.example.org/"}, "ALERT_WEBHOOK_URL: is not the URL"),
        ({"ALERT_WEBHOOK_URL": "https://hooks.example.org/of-the-hook\r\nX: y"}, "ALERT_WEBHOOK_URL: is not the URL"),
        ({"ALERT_WEBHOOK_URL": "https://hooks.example.org:99999/of-the-hook"}, "ALERT_WEBHOOK_URL: is not the URL"),
        ({"ALERT_NO_SUCCESS_MINUTES": "-1"}, "ALERT_NO_SUCCESS_MINUTES: Input should be"),
        ({"PUBLIC_URL": "pncp.example.org"}, "PUBLIC_URL: is not a URL"),
    ],
)
def test_what_cannot_work_is_refused_at_the_start_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError) as fault:
        load(monkeypatch, tmp_path, **variables)
    assert str(fault.value).startswith(told)
    assert "of-the-" not in str(fault.value)
