"""What can be said of the deployment's files without running them: valid, complete, closed."""

import io
import json
import logging
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml

from common.logs import configure_logging
from tests.compose import COMPOSE, OVERRIDES, example_settings, interpolate, load_compose, load_override
from tests.support import ROOT

SCHEMA = Path(__file__).parent / "compose_spec" / "compose-spec.json"
GUIDE = ROOT / "docs" / "operating.md"
DEPLOYMENT = ROOT / "docs" / "deployment.md"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
OURS = ("migrations", "pncp-backend", "ingestor", "courier")
IN_NO_IMAGE = {"simulator", "standalone", "tests", "scripts", "docs"}


def examples(language: str) -> list[str]:
    text = GUIDE.read_text() + DEPLOYMENT.read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", [COMPOSE, *examples("yaml")])
def test_a_compose_file_is_valid_by_the_schema_of_the_compose_specification(document: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(document))


def test_a_compose_file_with_a_word_that_compose_does_not_know_is_not_valid() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    document = yaml.safe_load(COMPOSE)
    document["services"]["ingestor"]["restarts"] = "always"
    with pytest.raises(jsonschema.ValidationError, match="restarts"):
        jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)


def test_a_copied_example_is_all_that_compose_asks_for() -> None:
    interpolate(COMPOSE, example_settings())


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "RABBITMQ_PASSWORD"])
def test_a_missing_secret_stops_compose_with_a_word_that_says_where_it_belongs(name: str) -> None:
    settings = example_settings() | {name: ""}
    with pytest.raises(LookupError, match=rf"{name}.*write it into \.env"):
        interpolate(COMPOSE, settings)


def test_no_password_stands_in_the_compose_file_itself() -> None:
    assert "changeme" not in COMPOSE
    for line in COMPOSE.splitlines():
        if re.search(r"password\"?:|://pncp:", line, re.IGNORECASE):
            fine = r"_PASSWORD:\?|\${(ADMIN|VIEWER|SMTP|PROMETHEUS|GRAFANA)_PASSWORD:-}\"$"
            assert re.search(fine, line), line


def test_what_people_look_at_is_published_to_this_machine_only_and_nothing_else_is() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "pncp-backend": ["127.0.0.1:${BACKEND_PORT:-8000}:8000"],
        "prometheus": ["127.0.0.1:${PROMETHEUS_PORT:-9090}:9090"],
        "grafana": ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"],
    }


def test_without_a_profile_there_is_neither_monitoring_nor_delivery_and_no_password_of_theirs_is_needed() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {"prometheus": ["monitoring"], "grafana": ["monitoring"], "courier": ["delivery"]}
    assert not example_settings().get("GRAFANA_PASSWORD")
    interpolate(COMPOSE, example_settings())


@pytest.mark.parametrize("password", ["", "s3cret"])
def test_grafana_does_not_start_without_a_password(password: str, tmp_path: Path) -> None:
    """Its entry point, followed with a stand-in for what it would start."""
    grafana = load_compose(example_settings() | {"GRAFANA_PASSWORD": password})["services"]["grafana"]
    shell, option, script = grafana["entrypoint"]
    start = tmp_path / "run.sh"
    start.write_text("#!/bin/sh\necho started\n")
    start.chmod(0o755)
    environment = {name: str(value) for name, value in grafana["environment"].items()}
    command = [shell, option, script.replace("/run.sh", str(start))]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (ended.returncode == 0, ended.stdout) == ((True, "started\n") if password else (False, ""))
    assert password or "write GRAFANA_PASSWORD into .env" in ended.stderr


def test_prometheus_is_given_its_name_and_password_in_files_that_only_it_can_read(tmp_path: Path) -> None:
    given = {"PROMETHEUS_USERNAME": "viewer", "PROMETHEUS_PASSWORD": "it's a long one, 100%"}
    prometheus = load_compose(example_settings() | given)["services"]["prometheus"]
    shell, option, script = prometheus["entrypoint"]
    script = script.replace("/tmp/", f"{tmp_path}/").replace("exec /bin/prometheus", "echo")
    told = subprocess.run(
        [shell, option, script], env={**prometheus["environment"]}, capture_output=True, text=True, check=True
    )

    configuration = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())
    (backend,) = [job for job in configuration["scrape_configs"] if job["job_name"] == "pncp-backend"]
    for kind, name in (("username_file", "PROMETHEUS_USERNAME"), ("password_file", "PROMETHEUS_PASSWORD")):
        file = tmp_path / Path(backend["basic_auth"][kind]).name
        assert file.read_text() == given[name]
        assert file.stat().st_mode & 0o077 == 0
    mounted = {volume.split(":")[1] for volume in prometheus["volumes"]}
    assert f"--config.file={(mounted - {'/prometheus'} - set(configuration['rule_files'])).pop()} " in told.stdout
    assert "100%" not in told.stdout


def test_what_is_mounted_from_the_project_is_there() -> None:
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    for source in (mount.split(":")[0] for mount in mounts if mount.startswith(".")):
        assert (ROOT / source).is_file(), source


def test_prometheus_asks_the_services_where_they_answer() -> None:
    compose = load_compose(example_settings())["services"]
    configuration = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    port = compose["pncp-backend"]["environment"]["BACKEND_PORT"]
    assert jobs["pncp-backend"]["static_configs"] == [{"targets": [f"pncp-backend:{port}"]}]
    (found,) = jobs["pncp-ingestor"]["dns_sd_configs"]
    assert (found["names"], found["type"]) == (["ingestor"], "A")
    assert str(found["port"]) == compose["ingestor"]["environment"]["METRICS_PORT"]
    assert compose["ingestor"]["environment"]["METRICS_HOST"] == "0.0.0.0"
    for name in ("prometheus", "pncp-backend", "ingestor", "grafana"):
        assert "inside" in compose[name]["networks"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["stop_grace_period"] == "60s"
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service
    # a read-only container takes no inline configs
    assert service.get("read_only", False) is ("configs" not in service)
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert service["restart"] == ("no" if name == "migrations" else "unless-stopped")
    assert name in OURS or service["user"] in ("postgres", "rabbitmq", "nobody", "grafana")


def test_services_beside_the_database_can_be_scaled_and_come_after_the_migrations() -> None:
    assert not {"ports", "container_name", "hostname", "volumes"} & set(SERVICES["ingestor"])
    for name in ("pncp-backend", "ingestor"):
        conditions = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
        assert conditions == {
            "migrations": "service_completed_successfully",
            "postgres": "service_healthy",
            "rabbitmq": "service_healthy",
        }


def test_only_what_needs_the_outside_world_reaches_it() -> None:
    assert load_compose(example_settings())["networks"]["inside"] == {"internal": True}
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    # the last two for their ports
    assert outside == {"pncp-backend", "ingestor", "courier", "prometheus", "grafana"}


def test_the_files_of_connections_are_read_only_and_the_secrets_of_destinations_are_the_couriers_alone() -> None:
    compose = load_compose(example_settings())["services"]
    mounts = {name: [str(volume) for volume in service.get("volumes", [])] for name, service in compose.items()}
    connections = {name for name, volumes in mounts.items() if "./connections:/connections:ro" in volumes}
    secrets = {name for name, volumes in mounts.items() if "./secrets:/run/secrets:ro" in volumes}
    assert (connections, secrets) == ({"pncp-backend", "courier"}, {"courier"})
    assert compose["ingestor"]["environment"]["WORKER_KINDS"] == "sync,intake"
    assert (ROOT / "connections").is_dir()


def test_images_do_not_share_a_name_so_that_no_two_builds_race_for_it() -> None:
    assert all("image" not in SERVICES[name] for name in OURS)


@pytest.mark.parametrize("queue", ["", "other.queue"])
def test_the_brokers_definitions_fit_the_urls_and_the_queue(queue: str) -> None:
    compose = load_compose(example_settings() | {"QUEUE_NAME": queue, "RABBITMQ_PASSWORD": "secret1"})
    definitions = json.loads(compose["configs"]["rabbitmq-definitions"]["content"])
    name = queue or "ingest.pncp"

    assert compose["services"]["pncp-backend"]["environment"]["RABBITMQ_URL"] == (
        "amqp://pncp:secret1@rabbitmq:5672/pncp"
    )
    assert [(user["name"], user["password"]) for user in definitions["users"]] == [("pncp", "secret1")]
    assert [(vhost["name"], vhost["default_queue_type"]) for vhost in definitions["vhosts"]] == [("pncp", "quorum")]
    assert [(one["user"], one["vhost"]) for one in definitions["permissions"]] == [("pncp", "pncp")]
    for policy, each in zip(definitions["policies"], (name, "processed_data"), strict=True):
        assert policy["vhost"] == "pncp"
        assert re.search(policy["pattern"], each)
        assert not re.search(policy["pattern"], f"{each}.dead")
        assert policy["definition"]["dead-letter-exchange"] == ""
        assert policy["definition"]["dead-letter-routing-key"] == f"{each}.dead"
    mounted = {one["source"]: one["target"] for one in SERVICES["rabbitmq"]["configs"]}
    assert f"load_definitions = {mounted['rabbitmq-definitions']}\n" in compose["configs"]["rabbitmq-conf"]["content"]


def test_the_build_context_holds_what_the_images_copy_and_nothing_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = set()
    for path in ROOT.glob("Dockerfile.*"):
        for line in path.read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                copied.update(line.split()[1:-1])

    assert "*" in lines
    assert allowed == copied
    assert not IN_NO_IMAGE & allowed


def test_every_variable_that_the_guide_sets_is_known() -> None:
    known = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    for language in ("yaml", "sh"):
        for example in examples(language):
            assert set(re.findall(r"\$\{([A-Z_]+)", example)) <= known
            assert set(re.findall(r"^([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)) <= known


# --- what comes beside the compose file -------------------------------------------------------------------------------

GIVEN = {"JWT_SECRET": "s" * 32, "ELASTIC_PASSWORD": "secret1", "LOGS_PASSWORD": "secret2"}
NEW = [
    (name, service)
    for name in OVERRIDES
    for service, written in load_override(name, example_settings() | GIVEN)["services"].items()
    if "image" in written
]


def test_there_are_three_overrides() -> None:
    assert OVERRIDES.keys() == {"debug", "logs", "scale"}


@pytest.mark.parametrize("name", OVERRIDES)
def test_an_override_is_valid_by_the_schema_and_changes_services_that_are_there(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    override = load_override(name, example_settings() | GIVEN)
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(override)
    alone = {service for service, written in override["services"].items() if not {"image", "extends"} & written.keys()}
    assert alone <= SERVICES.keys()


@pytest.mark.parametrize("name", OVERRIDES)
def test_an_override_publishes_to_this_machine_only_and_holds_no_password(name: str) -> None:
    assert not re.search(r"(PASSWORD|SECRET): +[\"\']?[^\"\'$\s]", OVERRIDES[name])
    for written in load_override(name, example_settings() | GIVEN)["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in written.get("ports", []))
        sources = [volume.split(":")[0] for volume in written.get("volumes", []) if volume.startswith(".")]
        assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize(("name", "service"), NEW)
def test_a_service_of_an_override_is_confined(name: str, service: str) -> None:
    written = load_override(name, example_settings() | GIVEN)["services"][service]
    assert written["cap_drop"] == ["ALL"]
    assert written["security_opt"] == ["no-new-privileges:true"]
    assert written["mem_limit"]
    assert written["pids_limit"]
    assert written["stop_grace_period"] == "60s"
    assert written["logging"]["options"]["max-size"]
    # these two write their configuration at the start
    assert written["read_only"] is (service not in ("elasticsearch", "kibana"))
    assert written["user"].split(":")[0] not in ("0", "root")
    assert re.search(r":\d[\d.]+$", written["image"])
    assert written["restart"] == ("no" if service == "logs-setup" else "unless-stopped")


def test_three_backends_are_alike_and_nginx_has_the_port() -> None:
    services = load_override("scale", example_settings() | GIVEN)["services"]
    backends = {name: written for name, written in services.items() if name.startswith("pncp-backend")}
    assert all(written["ports"] == [] for written in backends.values())
    assert len({json.dumps(written["environment"]) for written in backends.values()}) == 1
    names = {"pncp-backend-1", *backends} - {"pncp-backend"}
    assert backends["pncp-backend"]["networks"] == {"inside": {"aliases": ["pncp-backend-1"]}}
    assert names == {"pncp-backend-1", "pncp-backend-2", "pncp-backend-3"}
    assert services["nginx"]["ports"] == ["127.0.0.1:8000:8080"]
    config = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text()
    assert set(re.findall(r"^\s+server (\S+):8000 ", config, re.MULTILINE)) == names
    assert re.findall(r"^\s+listen (\d+);", config, re.MULTILINE) == ["8080"]
    with pytest.raises(LookupError, match="JWT_SECRET"):
        load_override("scale", example_settings())


def test_lines_of_all_services_of_ours_are_shipped() -> None:
    services = load_override("logs", example_settings() | GIVEN)["services"]
    shipped = {name for name, written in services.items() if written["logging"]["driver"] == "fluentd"}
    assert shipped == {*OURS, "postgres", "rabbitmq"}
    (address,) = {services[name]["logging"]["options"]["fluentd-address"] for name in shipped}
    assert services["shipper"]["ports"] == [f"{address}:24224"]
    assert all(written["profiles"] == ["logs"] for name, written in services.items() if name not in shipped)


def test_what_makes_elasticsearch_ready_asks_for_what_it_should(tmp_path: Path) -> None:
    """The script, with a stand-in for curl that keeps what it is given."""
    (tmp_path / "curl").write_text('#!/bin/sh\nfor last; do :; done\necho "$last"; cat; echo ---\n')
    (tmp_path / "curl").chmod(0o755)
    script = (ROOT / "deploy" / "logs" / "setup.sh").read_text().replace("/tmp/user", str(tmp_path / "user"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **GIVEN}
    said = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=True).stdout
    asked = dict(part.strip().split("\n", 1) for part in said.split("---\n") if part.strip())

    assert (tmp_path / "user").read_text() == 'user = "elastic:secret1"\n'
    assert (tmp_path / "user").stat().st_mode & 0o077 == 0
    bodies = {address.removeprefix("http://elasticsearch:9200"): json.loads(body) for address, body in asked.items()}
    assert bodies["/_index_template/logs-pncp"]["template"] == {"lifecycle": {"data_retention": "30d"}}
    assert bodies["/_security/user/kibana_system/_password"] == {"password": "secret2"}
    pipeline = yaml.safe_load((ROOT / "deploy" / "logs" / "fluent-bit.yaml").read_text())["pipeline"]
    (output,) = pipeline["outputs"]
    assert bodies[f"/_security/user/{output['http_user']}"]["roles"] == ["pncp-shipper"]
    (pattern,) = bodies["/_index_template/logs-pncp"]["index_patterns"]
    assert output["index"].startswith(pattern.rstrip("*"))
    failing = {**environment, "LOGS_PASSWORD": ""}
    ended = subprocess.run(["sh", "-c", script], env=failing, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "LOGS_PASSWORD" in ended.stderr


def shipped(record: dict[str, Any]) -> dict[str, Any]:
    """What the shipper's own script makes of a record, in the Lua that Fluent Bit has."""
    lupa = pytest.importorskip("lupa.luajit21", reason="lupa is not installed")
    lua = lupa.LuaRuntime()
    lua.execute((ROOT / "deploy" / "logs" / "ecs.lua").read_text())
    code, time, document = lua.globals().to_ecs("pncp", 1.5, lua.table_from(record))
    assert (code, time) == (2, 1.5)
    return {name: dict(value) if lupa.lua_type(value) == "table" else value for name, value in document.items()}


def test_a_line_of_ours_becomes_a_document_of_the_common_schema() -> None:
    stream = io.StringIO()
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        configure_logging("INFO", "json", stream)
        try:
            int("no such slice")
        except ValueError:
            structlog.get_logger("ingestor.worker").exception(
                "slice ended unexpectedly", execution_id=42, error="no such slice", destination="crm", user="ana"
            )
    finally:
        logging.getLogger().handlers[:] = handlers
        logging.getLogger().setLevel(level)
        structlog.reset_defaults()
    record = json.loads(stream.getvalue())
    assert record.pop("timestamp").endswith("Z")  # by which the parser sets the time

    document = shipped(record | {"container_name": "/pncp-ingestor-2", "source": "stdout"})

    assert document.pop("error.stack_trace").startswith("Traceback")
    assert document == {
        "ecs.version": "9.2.0",
        "event.dataset": "pncp",
        "message": "slice ended unexpectedly",
        "log.level": "error",
        "log.logger": "ingestor.worker",
        "error.message": "no such slice",
        "user.name": "ana",
        "container.name": "pncp-ingestor-2",
        "service.name": "ingestor",
        "stream": "stdout",
        "pncp": {"execution_id": 42, "destination": "crm"},
    }


def test_a_line_that_is_no_json_is_the_message() -> None:
    document = shipped({"log": "LOG:  checkpoint starting: time", "container_name": "/pncp-pncp-backend-1"})
    assert document["message"] == "LOG:  checkpoint starting: time"
    assert document["service.name"] == "pncp-backend"
    assert "pncp" not in document


def test_the_guide_names_every_field_that_is_mapped() -> None:
    script = (ROOT / "deploy" / "logs" / "ecs.lua").read_text()
    mapped = dict(re.findall(r'^    (\w+) = "([\w.]+)",$', script, re.MULTILINE))
    documented = dict(re.findall(r"^\| `(\w+)` \| `([@\w.]+)` \|", DEPLOYMENT.read_text(), re.MULTILINE))
    assert documented == {"timestamp": "@timestamp", **mapped}


def test_a_debugger_is_reached_from_this_machine_alone_by_the_ports_that_vs_code_knows() -> None:
    services = load_override("debug", example_settings())["services"]
    published = {name: written["ports"] for name, written in services.items()}
    launch = json.loads((ROOT / ".vscode" / "launch.json").read_text())["configurations"]
    attached = {one["name"].split()[1]: one["connect"] for one in launch if one["name"].endswith("of Compose")}
    assert {name: [f"{to['host']}:{to['port']}:5678"] for name, to in attached.items()} == published
    for name, written in services.items():
        module = "backend" if name == "pncp-backend" else "ingestor"
        assert written["command"][-1].endswith(f"--listen 0.0.0.0:5678 -m {module}\n")
    for one in launch:
        assert one["type"] == "debugpy"
        assert one.get("module", "backend") in ("backend", "ingestor")


def test_the_workflow_of_forks_runs_what_is_there() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "checks.yaml").read_text())
    jobs = workflow["jobs"]
    assert jobs.keys() == {"lint", "test", "images"}
    assert workflow["permissions"] == {"contents": "read"}
    assert jobs["images"]["needs"] == ["lint", "test"]
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert runs == ["./pncp check", "bash .ci/run"]
    assert all((ROOT / run.split()[0]).exists() or (ROOT / run.split()[1]).exists() for run in runs)
    dockerfiles = {f"Dockerfile.{name}" for name in jobs["images"]["strategy"]["matrix"]["name"]}
    assert dockerfiles == {path.name for path in ROOT.glob("Dockerfile.*")}
    for job in jobs.values():
        assert job["timeout-minutes"]
        assert all(re.search(r"@v\d", step["uses"]) for step in job["steps"] if "uses" in step)
