"""Manifests and task definitions are valid, confined and complete; and a mistake in one of them is found.

Nothing here runs in a cluster: schemas of Kubernetes and the model of botocore stand for it.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from backend.config import BackendSettings
from backend.services.exports.serving import CONNECTIONS
from common.config import load_settings
from common.connections.files import FILES
from common.connections.loading import load_connections
from ingestor.config import IngestorSettings
from tests.compose import example_settings, load_compose
from tests.manifests import LIST, Container, containers_of, faults_of, load_manifests
from tests.support import ROOT, SETTINGS_OF_OURS

MANIFESTS = load_manifests(ROOT / "k8s")
GOOD = {
    "DATABASE_URL": "postgresql://pncp:secret1@postgres.pncp.svc.cluster.local:5432/pncp",
    "RABBITMQ_URL": "amqp://pncp:secret1@rabbitmq:5672/pncp",
    "ADMIN_PASSWORD_HASH": "$argon2id$v=19$m=19456,t=2,p=1$"
    "a0Z2bWVrVzdhbFVlT2NyVg$dl3KWyiZUmnI9gT0x2vNfVbUUoZRAzxhnKeXlaw62D0",
    "JWT_SECRET": "7d1f0c5a9b3e48d6a2c4e8f01b2d3c4e5f60718293a4b5c6",
}


def secret_keys(name: str) -> dict[str, str]:
    (secret,) = (one for one in MANIFESTS if (one.kind, one.name) == ("Secret", name))
    keys: dict[str, str] = secret.document["stringData"]
    return keys


def container(name: str) -> Container:
    (found,) = (one for one in containers_of(MANIFESTS) if one.name == name)
    return found


def test_nothing_is_wrong_with_the_manifests_and_the_task_definitions() -> None:
    assert faults_of(ROOT) == []
    assert len(MANIFESTS) > 30
    assert {path.stem for path in (ROOT / "deploy" / "ecs").glob("*.json")} == {
        *("backend", "ingestor", "courier", "migrations")
    }


MISTAKES = [
    ("k8s/backend.yaml", "readinessProbe:", "readynessProbe:", "'readynessProbe' was unexpected"),
    ("k8s/ingestor.yaml", "readinessProbe:", "startupProbe:", "container ingestor: has no readinessProbe"),
    (
        "k8s/backend.yaml",
        "path: /health/live\n              port: http\n            periodSeconds: 10",
        "path: /health/ready\n              port: http\n            periodSeconds: 10",
        "livenessProbe asks more",
    ),
    (
        "k8s/backend.yaml",
        "            limits:\n              memory: 2Gi\n",
        "",
        "container backend: has no memory limit",
    ),
    ("k8s/courier.yaml", "runAsUser: 10001", "runAsUser: 0", "Deployment courier: may run as root"),
    ("k8s/ingestor.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "Deployment ingestor: may run as root"),
    ("k8s/ingestor.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "can write its file system"),
    ("k8s/ingestor.yaml", "allowPrivilegeEscalation: false", "privileged: true", "may gain privileges"),
    ("k8s/courier.yaml", "drop: [ALL]", "drop: [ALL]\n              add: [NET_RAW]", "keeps capabilities"),
    ("k8s/backend.yaml", "enableServiceLinks: false", "enableServiceLinks: true", "BACKEND_PORT is one"),
    ("k8s/backend.yaml", "terminationGracePeriodSeconds: 60", "terminationGracePeriodSecond: 60", "was unexpected"),
    (
        "k8s/config.yaml",
        "PUBLIC_URL:",
        "PUBLIC_ADDRESS:",
        "variable PUBLIC_ADDRESS of ConfigMap backend-settings is unknown",
    ),
    ("k8s/config.yaml", "APP_ENV: production", "JWT_SECRET: 0123456789abcdef", "JWT_SECRET .* is unknown or a secret"),
    ("k8s/config.yaml", "LOG_FORMAT: json", "PNCP_BASE_URL: https://me:word@example.org", "a password stands in"),
    (
        "k8s/ingestor.yaml",
        "name: DATABASE_URL_FILE\n              value: /run/secrets/database/DATABASE_URL",
        "name: DATABASE_URL\n              value: postgresql://pncp:word@db/pncp",
        "secret DATABASE_URL is written out",
    ),
    (
        "k8s/backend.yaml",
        "/run/secrets/backend/JWT_SECRET\n",
        "/run/secrets/backend/JWT_KEY\n",
        "which no mounted secret brings",
    ),
    (
        "k8s/backup.yaml",
        "key: POSTGRES_PASSWORD",
        "key: PASSWORD",
        "PGPASSWORD is taken from database, which has no PASSWORD",
    ),
    (
        "k8s/config.yaml",
        "apiVersion: v1",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: pncp}\n---\napiVersion: v1",
        "a secret stands in a file that is applied",
    ),
    (
        "k8s/backend.yaml",
        "spec:\n  selector:\n    app.kubernetes.io/name: pncp-sync",
        "spec:\n  selector:\n    app.kubernetes.io/name: pncp",
        "Service backend: selects nothing",
    ),
    ("k8s/courier.yaml", "targetPort: metrics", "targetPort: http", "goes to port http, which no pod has"),
    ("k8s/network.yaml", "app.kubernetes.io/name: rabbitmq", "app.kubernetes.io/name: rabbit", "selects nothing"),
    (
        "k8s/network.yaml",
        "policyTypes: [Ingress, Egress]",
        "policyTypes: [Ingress]",
        "nothing denies what is not named",
    ),
    ("k8s/backend.yaml", "maxUnavailable: 1", "minAvailable: 1", "maxUnavailable is not 1"),
    (
        "k8s/ingestor.yaml",
        "kind: PodDisruptionBudget",
        "kind: PodDisruptionBudgets",
        "has no PodDisruptionBudgets in policy/v1",
    ),
    ("k8s/ingress.yaml", "name: http", "name: https", "leads to .* which is not there"),
    ("k8s/postgres.yaml", "image: postgres:18", "image: postgres:latest", "postgres:latest has no tag of its own"),
    ("k8s/courier.yaml", "ingestor:0.1.0", "ingestor:0.0.9", "is not of version"),
    ("k8s/courier.yaml", "secretName: database", "secretName: databases", "which is not there"),
    ("k8s/backend.yaml", "sizeLimit: 64Mi", "medium: Memory", "volume tmp has no sizeLimit"),
    ("k8s/backend.yaml", "  strategy:\n", "  replicas: 2\n  strategy:\n", "number of replicas"),
    ("k8s/migrations.yaml", "name: migrations-", "name: migrations-v", "its name has to say so"),
    ("k8s/keda.yaml", "targetQueryValue", "targetQueryValues", "'targetQueryValues?' (was unexpected|is a required)"),
    ("k8s/keda.yaml", "minReplicaCount: 1", "minReplicaCount: 0", "0 is less than the minimum of 1"),
    (
        "k8s/keda.yaml",
        "scaleTargetRef:\n    name: courier",
        "scaleTargetRef:\n    name: couriers",
        "scales what is not there",
    ),
    ("k8s/kustomization.yaml", "  - backup.yaml\n", "", "lists .*backup.yaml"),
    ("k8s/backup.yaml", "timeZone:", "timezone:", "'timezone' was unexpected"),
    (
        "deploy/ecs/backend.json",
        '"readonlyRootFilesystem": true',
        '"readOnlyRootFilesystem": true',
        "Unknown parameter",
    ),
    ("deploy/ecs/ingestor.json", '"family"', '"familie"', "Missing required parameter .*family"),
    ("deploy/ecs/ingestor.json", '"awsvpc"', '"awsvpcs"', "awsvpcs is none of"),
    ("deploy/ecs/courier.json", '"user": "10001:10001"', '"user": "0"', "courier: may run as root"),
    ("deploy/ecs/backend.json", ':0.1.0"', ':latest"', "latest is not of version"),
    ("deploy/ecs/migrations.json", '"name": "LOG_FORMAT"', '"name": "LOG_FORMATS"', "LOG_FORMATS is unknown"),
    ("deploy/ecs/migrations.json", '"name": "LOG_FORMAT"', '"name": "JWT_SECRET"', "secret JWT_SECRET is written out"),
    ("deploy/ecs/migrations.json", '"valueFrom": "arn:aws:', '"valueFrom": "plain:', "DATABASE_URL is no reference"),
]


@pytest.mark.parametrize(("file", "right", "wrong", "found"), MISTAKES)
def test_a_mistake_in_one_file_is_found(file: str, right: str, wrong: str, found: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    shutil.copytree(ROOT / "deploy" / "ecs", tmp_path / "deploy" / "ecs")
    path = tmp_path / file
    text = path.read_text()
    assert right in text
    # of a deployment the container of the service, which comes after the one that waits
    before, _, after = text.rpartition(right) if file.startswith("k8s/") else text.partition(right)
    path.write_text(before + wrong + after)

    faults = faults_of(tmp_path)

    assert any(re.search(found, fault, re.DOTALL) for fault in faults), faults


# --- what the manifests say to our programs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"), [("backend", BackendSettings), ("ingestor", IngestorSettings), ("courier", IngestorSettings)]
)
def test_a_service_starts_with_the_settings_of_its_manifest(
    name: str,
    settings: type[BackendSettings | IngestorSettings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in SETTINGS_OF_OURS & os.environ.keys():
        monkeypatch.delenv(variable)
    maps = {one.name: one.document["data"] for one in MANIFESTS if one.kind == "ConfigMap"}
    one = container(name)
    for reference in one.written["envFrom"]:
        for variable, value in maps[reference["configMapRef"]["name"]].items():
            monkeypatch.setenv(variable, value)
    for variable in one.written["env"]:
        secret, key = Path(variable["value"]).parent.name, Path(variable["value"]).name
        file = tmp_path / key
        file.write_text(GOOD.get(key, secret_keys(secret)[key]) + "\n")
        monkeypatch.setenv(variable["name"], str(file))

    loaded = load_settings(settings)

    assert loaded.database_url.get_secret_value().endswith("@postgres.pncp.svc.cluster.local:5432/pncp")
    if isinstance(loaded, BackendSettings):
        assert loaded.in_production
        assert loaded.viewer_password_hash is None
        assert str(loaded.backend_port) == str(one.written["ports"][0]["containerPort"])
        assert all(any(str(folder).startswith(mount["mountPath"]) for mount in one.written["volumeMounts"])
                   for folder in (loaded.export_dir, loaded.files_dir))  # fmt: skip
    else:
        assert loaded.metrics_port == one.written["ports"][0]["containerPort"]
        assert loaded.delivers is (name == "courier")


@pytest.mark.parametrize(
    ("name", "settings"), [("backend", BackendSettings), ("ingestor", IngestorSettings), ("courier", IngestorSettings)]
)
def test_a_service_starts_with_the_settings_of_its_task_definition(
    name: str,
    settings: type[BackendSettings | IngestorSettings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in SETTINGS_OF_OURS & os.environ.keys():
        monkeypatch.delenv(variable)
    (task,) = json.loads((ROOT / "deploy" / "ecs" / f"{name}.json").read_text())["containerDefinitions"]
    for variable in task["environment"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    for secret in task["secrets"]:
        monkeypatch.setenv(secret["name"], GOOD.get(secret["name"], "https://hooks.example.org/x"))

    loaded = load_settings(settings)

    if isinstance(loaded, BackendSettings):
        assert loaded.in_production
        assert loaded.backend_port == task["portMappings"][0]["containerPort"]
        assert f"127.0.0.1', {loaded.backend_port}" in task["healthCheck"]["command"][-1]
    else:
        assert loaded.delivers is (name == "courier")


def test_the_examples_of_secrets_let_nobody_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("DATABASE_URL", GOOD["DATABASE_URL"])
    monkeypatch.setenv("ADMIN_PASSWORD_HASH", GOOD["ADMIN_PASSWORD_HASH"])
    monkeypatch.setenv("JWT_SECRET", secret_keys("backend")["JWT_SECRET"])
    with pytest.raises(Exception, match="JWT_SECRET"):
        load_settings(BackendSettings)


def test_connections_are_read_from_the_folders_that_a_config_map_makes(tmp_path: Path) -> None:
    """The kubelet writes a hidden folder and links each file through `..data`, so that all change at once."""
    examples = ROOT / "docs" / "examples" / "connections"
    for folder in (path.name for path in examples.iterdir()):
        hidden = tmp_path / folder / "..2026_11_29_12_00_00.1"
        shutil.copytree(examples / folder, hidden)
        (tmp_path / folder / "..data").symlink_to(hidden.name)
        for file in hidden.iterdir():
            (tmp_path / folder / file.name).symlink_to(Path("..data") / file.name)

    assert load_connections(tmp_path).destinations.keys() == load_connections(examples).destinations.keys()
    for name in ("backend", "courier"):
        paths = [mount["mountPath"] for mount in container(name).written["volumeMounts"]]
        assert {path for path in paths if path.startswith("/connections/")} == {f"/connections/{one}" for one in FILES}


def test_no_manifest_has_files_of_connections_which_it_would_empty_with_every_apply() -> None:
    assert not {one.name for one in MANIFESTS if one.kind == "ConfigMap"} & FILES.keys()
    for name in ("backend", "courier"):
        volumes = {volume["name"]: volume for volume in container(name).pod["volumes"]}
        assert all(volumes[one]["configMap"] == {"name": one, "optional": True} for one in FILES)


def test_the_database_lets_in_all_that_autoscaling_may_start() -> None:
    backend, worker = 10 + CONNECTIONS + 3, 4 + 6
    most = {
        one.name: one.spec.get("maxReplicas") or one.spec["maxReplicaCount"]
        for one in MANIFESTS
        if one.kind in ("HorizontalPodAutoscaler", "ScaledObject")
    }
    # each with the one more that a new version begins with
    wanted = backend * (most["backend"] + 1) + worker * (most["ingestor"] + 1) + worker * (most["courier"] + 1)
    (allowed,) = re.findall(r"max_connections=(\d+)", " ".join(container("postgres").written["args"]))
    assert wanted < int(allowed) - 20


def test_who_knows_the_broker_may_reach_it() -> None:
    (policy,) = (one.spec for one in MANIFESTS if (one.kind, one.name) == ("NetworkPolicy", "to-rabbitmq"))
    (may,) = (one["values"] for one in policy["podSelector"]["matchExpressions"])
    knows = {
        one.name
        for one in containers_of(MANIFESTS)
        if any(variable["name"] == "RABBITMQ_URL_FILE" for variable in one.written.get("env", []))
    }
    assert set(may) == knows == {"backend", "ingestor", "courier"}


def test_only_the_courier_has_the_secrets_of_other_systems() -> None:
    holders = {
        one.name
        for one in containers_of(MANIFESTS)
        for volume in one.pod["volumes"]
        if volume.get("secret", {}).get("secretName") == "connections" and not one.waits
    }
    assert holders == {"courier"}


def test_the_broker_is_set_up_as_in_compose() -> None:
    compose = load_compose(example_settings() | {"RABBITMQ_PASSWORD": "change-me"})["configs"]
    assert json.loads(secret_keys("broker-definitions")["definitions.json"]) == json.loads(
        compose["rabbitmq-definitions"]["content"]
    )
    (config,) = (one.document["data"] for one in MANIFESTS if (one.kind, one.name) == ("ConfigMap", "rabbitmq"))
    ours, theirs = (text.splitlines() for text in (config["30-pncp.conf"], compose["rabbitmq-conf"]["content"]))
    assert ours[1:] == theirs[1:]
    (definitions,) = (m for m in container("rabbitmq").written["volumeMounts"] if m["name"] == "definitions")
    assert ours[0] == f"load_definitions = {definitions['mountPath']}/definitions.json"


def test_a_backup_is_made_as_the_script_makes_it() -> None:
    script = (ROOT / "scripts" / "backup.sh").read_text()
    job = container("backup").written["command"][-1]
    for line in (
        "umask 077",
        "trap 'rm -f -- \"$file.part\"' EXIT",
        '--format=custom --no-owner --no-privileges --no-unlogged-table-data >"$file.part"',
        'pg_restore --file=/dev/null <"$file.part"',
        'mv -- "$file.part" "$file"',
    ):
        assert line in script
        assert line in job
    assert container("backup").written["image"] == container("postgres").written["image"]


def test_the_images_run_as_the_user_of_the_dockerfiles_and_what_these_start() -> None:
    users = {
        re.search(r"^USER (\S+)$", path.read_text(), re.MULTILINE)[1]  # type: ignore[index]
        for path in ROOT.glob("Dockerfile.*")
    }
    contexts = [one.pod["securityContext"] for one in containers_of(MANIFESTS) if one.is_ours]
    assert {f"{context['runAsUser']}:{context['runAsGroup']}" for context in contexts} == users
    assert all("command" not in container(name).written for name in ("backend", "ingestor", "courier"))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl is installed")
def test_kustomize_builds_what_the_files_say() -> None:
    """Offline, and only where it is at hand: no other test needs it."""
    built = subprocess.run(
        ["kubectl", "kustomize", ROOT / "k8s"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    listed = yaml.safe_load((ROOT / "k8s" / LIST).read_text())["resources"]
    expected = {(one.kind, one.name) for one in MANIFESTS if one.file in listed}
    documents = list(yaml.safe_load_all(built))
    assert {(one["kind"], one["metadata"]["name"]) for one in documents} == expected
