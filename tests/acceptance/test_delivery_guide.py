"""The guide of docs/delivery.md: its commands as they stand there, beside a demonstration, and what they show."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import yaml

from common.connections.loading import load_connections
from ingestor.delivery.signing import sign
from standalone.courier import EXAMPLES
from tests.demonstration import Demonstration, copy_project
from tests.support import ROOT

pytestmark = [pytest.mark.enable_socket, pytest.mark.xdist_group("demonstration"), pytest.mark.timeout(300)]

GUIDE = (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8300"
"""Of the receiver, as the guide writes it."""


def blocks(language: str, text: str = GUIDE) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


FIVE_MINUTES = GUIDE.partition("## Five minutes")[2].partition("\n## ")[0]
STEPS = [[re.sub(r"\s+#.*", "", line) for line in block.splitlines()] for block in blocks("sh", FIVE_MINUTES)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    demonstration = Demonstration(copy_project(tmp_path_factory.mktemp("delivery") / "project"), "--days", "5")
    demonstration.wait_for("./pncp deliver crm --watch")
    yield demonstration
    demonstration.stop()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.5)


class Person:
    """Enters lines of the guide, with the address and the key of this demonstration."""

    def __init__(self, running: Demonstration) -> None:
        self.running = running
        (self.receiver,) = re.findall(r"^  (http://\S+)/$", running.said.read_text(), re.MULTILINE)
        self.key = "KEY"

    def enter(self, line: str, *, code: int = 0) -> str:
        """What a line prints; while a delivery that began by itself is under way, it is entered again."""
        command = line.replace(ADDRESS, self.receiver).replace("KEY", self.key)
        deadline = time.monotonic() + 60
        while True:
            done = self.running.shell(command)
            if "409" not in done.stderr or time.monotonic() > deadline:
                assert done.returncode == code, (command, done.stdout, done.stderr)
                return done.stdout
            time.sleep(0.5)

    def box(self, name: str) -> dict[str, Any]:
        """What has come to one address of the receiver."""
        found: dict[str, Any] = httpx.get(f"{self.receiver}/_state/{name}", trust_env=False).json()
        return found


def test_each_command_of_the_guide_shows_what_it_says(running: Demonstration) -> None:
    start, state, listed, more, crm, trace, failing = STEPS
    assert start == ["./pncp demo"]
    person = Person(running)
    assert "boxes" in json.loads(person.enter(*state))

    check, destinations, deliver, history = listed
    assert "destinations: 4, " in person.enter(check)
    assert {line.split()[0] for line in person.enter(destinations).splitlines()[1:]} == {
        "avisos",
        "conciliacao",
        "crm",
        "webhook",
    }
    assert "all that differs: success" in person.enter(deliver)
    assert "webhook" in person.enter(history)
    before = person.box("webhook")["records"]
    assert {kept["record"]["uf"] for kept in before.values()} == {"SP", "MG"}
    assert min(kept["record"]["valor"] for kept in before.values()) >= 50_000

    change, wait, preview, deliver = more
    person.enter(change)
    assert wait.startswith("sleep")
    person.key = next(iter(before))
    until(lambda: re.search(r"contratacoes: [1-9]\d* records are owed", person.enter(preview)) is not None)
    person.enter(deliver)
    until(
        lambda: {kept["record"]["uf"] for kept in person.box("webhook")["records"].values()} == {"SP", "MG", "RS", "PR"}
    )

    deliver, rejected, again = crm
    assert "accepted" in person.enter(deliver)
    refused = person.box("crm")["refused"]
    assert refused
    listed_keys = person.enter(rejected)
    assert [key for key in refused if key not in listed_keys] == []
    assert f"0 accepted, {len(refused)} rejected" in person.enter(again)
    assert set(person.box("crm")["refused"].values()) == {2}

    assert "webhook contratacoes: sent" in person.enter(*trace)

    fail, everything, destinations, mend, history = failing
    person.enter(fail)
    person.enter(everything)
    until(lambda: re.search(r"^webhook +waiting", person.enter(destinations), re.MULTILINE) is not None)
    person.enter(mend)
    until(lambda: re.search(r"success +everything", person.enter(history)) is not None)
    assert person.box("webhook")["repeats"] >= 1


def test_a_file_that_the_guide_shows_is_the_one_of_the_demonstration() -> None:
    (shown,) = blocks("yaml", FIVE_MINUTES)
    assert shown in (EXAMPLES / "destinations" / "webhook.yaml").read_text(encoding="utf-8")


def test_the_connections_of_the_demonstration_hold_and_lead_to_its_receiver_alone() -> None:
    destinations = load_connections(EXAMPLES).destinations
    assert set(destinations) == {"avisos", "conciliacao", "crm", "webhook"}
    assert {one.url.references for one in destinations.values()} == {("${env:RECEIVER_URL}",)}


def test_the_receiver_of_the_guide_takes_our_signature_and_no_other() -> None:
    names: dict[str, Any] = {}
    (code,) = blocks("python")
    exec(code, names)
    secret, other = (f"whsec_{base64.b64encode(key).decode()}" for key in (b"a key", b"another"))
    body = b'{"id": 1}'
    headers = sign([other, secret], message_id="id", at=datetime.now(UTC), body=body)
    assert names["is_ours"](headers, body, secret)
    assert not names["is_ours"](headers, body + b" ", secret)
    assert not names["is_ours"](sign([other], message_id="id", at=datetime.now(UTC), body=body), body, secret)
    old = sign([secret], message_id="id", at=datetime(2026, 1, 1, tzinfo=UTC), body=body)
    assert not names["is_ours"](old, body, secret)


def test_every_yaml_of_the_guide_is_yaml() -> None:
    assert all(isinstance(yaml.safe_load(block), dict) for block in blocks("yaml"))
