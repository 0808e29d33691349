"""The parts of a start that deliver: whose folder of connections counts, and what the courier is started with."""

from pathlib import Path
from typing import Any

import pytest

from standalone.courier import EXAMPLES, folders_of, start_courier, write_examples
from standalone.system import LaunchError


class Started:
    """Takes the place of a supervisor, and keeps what it is asked to start."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = {}

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        assert (name, command[-1]) == ("courier", "ingestor")
        self.environment = environment


@pytest.mark.parametrize("name", ["CONNECTIONS_DIR", "INTAKE_DIR"])
def test_a_folder_is_meant_from_where_the_person_stands(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert folders_of({name: "mine", "PNCP_CALLED_FROM": str(tmp_path)}) == {name: str(tmp_path / "mine")}
    assert folders_of({}) == folders_of({name: ""}) == {}


@pytest.mark.parametrize("name", ["CONNECTIONS_DIR", "INTAKE_DIR"])
def test_a_folder_that_is_not_there_is_refused_at_the_start(name: str, tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match=f"{name} is .* which is no folder"):
        folders_of({name: str(tmp_path / "mine")})


def test_the_files_of_a_demonstration_are_written_once_and_stay_as_the_person_changes_them(tmp_path: Path) -> None:
    told = write_examples(tmp_path)
    folder = tmp_path / "connections"
    assert told == {
        "CONNECTIONS_DIR": str(folder),
        "INTAKE_DIR": str(tmp_path / "entradas"),
        "ERP_FILE": str(tmp_path / "erp.sqlite"),
    }
    assert [path.name for path in (tmp_path / "entradas").iterdir()] == ["vendas"]
    written = {path.relative_to(folder) for path in folder.rglob("*.yaml")}
    assert written == {path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.yaml")}
    changed = folder / "destinations" / "webhook.yaml"
    changed.write_text("mine")
    (folder / "destinations" / "crm.yaml").unlink()
    write_examples(tmp_path)
    assert changed.read_text() == "mine"
    assert not (folder / "destinations" / "crm.yaml").exists()


@pytest.mark.parametrize(
    ("given", "port"), [({}, None), ({"METRICS_PORT": "0"}, "0"), ({"METRICS_PORT": "9464"}, "9465")]
)
def test_a_courier_delivers_alone_and_has_a_metrics_port_of_its_own(given: dict[str, str], port: str | None) -> None:
    supervisor: Any = Started()
    start_courier({"CONNECTIONS_DIR": "/mine", "WORKER_KINDS": "sync", **given}, supervisor)
    assert supervisor.environment["WORKER_KINDS"] == "delivery,intake"
    assert supervisor.environment.get("METRICS_PORT") == port
