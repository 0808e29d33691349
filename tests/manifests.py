"""The files of Kubernetes and ECS as they are read there, and what is wrong with them, one sentence each."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import jsonschema
import kubernetes_validate
import yaml
from botocore.validate import ParamValidator
from kubernetes_validate.utils import all_versions, major_minor, schema_contents
from referencing import Registry, Resource

from backend.config import BackendSettings
from common.config import secrets_of
from common.tables import SCHEMA_REVISION
from ingestor.config import IngestorSettings
from tests.support import ROOT, SETTINGS_OF_OURS

Document = dict[str, Any]

OLDEST, NEWEST = "1.30", major_minor(kubernetes_validate.latest_version())
"""`preStop.sleep` is on by default since 1.30."""
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
EXAMPLE, OPTIONAL, LIST = "secrets.example.yaml", {"keda.yaml"}, "kustomization.yaml"
OF_POSTGRES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE", "PGHOST", "PGUSER", "PGDATABASE", "PGPASSWORD"}
SECRETS = secrets_of(BackendSettings) | secrets_of(IngestorSettings) | {"PGPASSWORD", "POSTGRES_PASSWORD"}
WITH_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s@]+@")
STAYS = ("Deployment", "StatefulSet")
ENDS = ("Job", "CronJob")

_NAMED = {
    "type": "object",
    "required": ["name", "namespace"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}, "namespace": {"const": "pncp"}},
}
_TEXT = {"type": "string", "minLength": 1}
KEDA: dict[str, Document] = {
    "ScaledObject": {
        "type": "object",
        "required": ["scaleTargetRef", "minReplicaCount", "maxReplicaCount", "triggers"],
        "additionalProperties": False,
        "properties": {
            "scaleTargetRef": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": _TEXT},
            },
            "pollingInterval": {"type": "integer", "minimum": 1},
            # without one of them nothing is planned and no schedule runs
            "minReplicaCount": {"type": "integer", "minimum": 1},
            "maxReplicaCount": {"type": "integer", "minimum": 1},
            "advanced": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"horizontalPodAutoscalerConfig": {"type": "object"}},
            },
            "triggers": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["type", "metadata", "authenticationRef"],
                    "additionalProperties": False,
                    "properties": {
                        "type": {"const": "postgresql"},
                        "metadata": {
                            "type": "object",
                            "required": ["query", "targetQueryValue"],
                            "additionalProperties": False,
                            "properties": {"query": _TEXT, "targetQueryValue": _TEXT},
                        },
                        "authenticationRef": {
                            "type": "object",
                            "required": ["name"],
                            "additionalProperties": False,
                            "properties": {"name": _TEXT},
                        },
                    },
                },
            },
        },
    },
    "TriggerAuthentication": {
        "type": "object",
        "required": ["secretTargetRef"],
        "additionalProperties": False,
        "properties": {
            "secretTargetRef": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["parameter", "name", "key"],
                    "additionalProperties": False,
                    "properties": {"parameter": {"const": "connection"}, "name": _TEXT, "key": _TEXT},
                },
            }
        },
    },
}
"""What of KEDA's kinds is used here, by its documentation: no package brings their schemas."""


@dataclass(frozen=True)
class Manifest:
    """One document of a file of `k8s/`."""

    file: str
    document: Document

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def spec(self) -> Document:
        spec: Document = self.document.get("spec") or {}
        return spec

    @property
    def template(self) -> Document | None:
        """The pod that it makes, if it makes any."""
        if self.kind == "CronJob":
            made: Document = self.spec["jobTemplate"]["spec"]["template"]
            return made
        return self.spec["template"] if self.kind in (*STAYS, "Job") else None

    def __str__(self) -> str:
        return f"{self.file}: {self.kind} {self.name}"


@dataclass(frozen=True)
class Container:
    """A container with the pod and the manifest that it belongs to; `waits` before others as an init container."""

    of: Manifest
    pod: Document
    written: Document
    waits: bool

    @property
    def name(self) -> str:
        return str(self.written["name"])

    @property
    def is_ours(self) -> bool:
        return "/pncp-sync/" in self.written.get("image", "")

    def __str__(self) -> str:
        return f"{self.of}, container {self.name}"


def load_manifests(folder: Path) -> list[Manifest]:
    """All documents of `k8s/` but the kustomization."""
    return [
        Manifest(path.name, document)
        for path in sorted(folder.glob("*.yaml"))
        if path.name != LIST
        for document in yaml.safe_load_all(path.read_text())
    ]


def containers_of(manifests: list[Manifest]) -> list[Container]:
    """All containers of all pods."""
    return [
        Container(one, one.template["spec"], written, waits)
        for one in manifests
        if one.template is not None
        for waits, key in ((True, "initContainers"), (False, "containers"))
        for written in one.template["spec"].get(key, [])
    ]


def faults_of(root: Path) -> list[str]:
    """What is wrong with `k8s/` and `deploy/ecs/` below a folder."""
    manifests = load_manifests(root / "k8s")
    rules = (*_MANIFEST_RULES, *(lambda all_, rule=rule: _each_container(rule, all_) for rule in _CONTAINER_RULES))
    found = [fault for rule in rules for fault in rule(manifests)]
    found += _kustomization(root / "k8s", manifests)
    for path in sorted((root / "deploy" / "ecs").glob("*.json")):
        found += [f"{path.name}: {fault}" for fault in _task_definition(json.loads(path.read_text()))]
    return found


# --- schemas ----------------------------------------------------------------------------------------------------------


@cache
def _validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    """The package's own strict schema; read once, for it is large."""
    folder = f"kubernetes-json-schema/v{_full(version)}-local-strict"
    short = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = schema_contents(f"{folder}/{kind.lower()}-{short}.json", version)
    return jsonschema.Draft202012Validator(schema, registry=Resource.from_contents(schema) @ _definitions(folder))


@cache
def _definitions(folder: str) -> Registry[Any]:
    registry: Registry[Any] = Resource.from_contents(schema_contents(f"{folder}/_definitions.json", "")) @ Registry()
    return registry


def _full(version: str) -> str:
    return next(one for one in all_versions() if major_minor(one) == version)


def _schemas(manifests: list[Manifest]) -> Iterator[str]:
    for one in manifests:
        api_version = one.document["apiVersion"]
        try:
            if api_version.startswith("keda.sh/"):
                validators = [jsonschema.Draft202012Validator(_keda_schema(one.kind))]
            else:
                validators = [_validator(one.kind, api_version, version) for version in (OLDEST, NEWEST)]
        except FileNotFoundError:
            yield f"{one}: Kubernetes {OLDEST} or {NEWEST} has no {one.kind} in {api_version}"
            continue
        for validator in validators:
            for error in validator.iter_errors(one.document):
                yield f"{one}: {error.json_path}: {error.message[:200]}"


def _keda_schema(kind: str) -> Document:
    return {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": "keda.sh/v1alpha1"},
            "kind": {"enum": [kind] if kind in KEDA else []},
            "metadata": _NAMED,
            "spec": KEDA.get(kind, {}),
        },
    }


# --- pods -------------------------------------------------------------------------------------------------------------


def _pods(manifests: list[Manifest]) -> Iterator[str]:
    for one in manifests:
        if one.template is not None:
            pod = one.template["spec"]
            yield from (f"{one}: {fault}" for fault, there in _faults_of_pod(pod).items() if there)
            yield from (f"{one}: {fault}" for volume in pod.get("volumes", []) for fault in _volume(volume))


def _faults_of_pod(pod: Document) -> dict[str, bool]:
    context = pod.get("securityContext", {})
    non_root = context.get("runAsNonRoot") is True and context.get("runAsUser") and context.get("runAsGroup")
    return {
        "may run as root": not non_root,
        "has no seccomp profile": context.get("seccompProfile") != {"type": "RuntimeDefault"},
        "is given a token of the cluster": pod.get("automountServiceAccountToken") is not False,
        "is given variables of services, of which BACKEND_PORT is one": pod.get("enableServiceLinks") is not False,
        "has no terminationGracePeriodSeconds": not pod.get("terminationGracePeriodSeconds"),
        "shares a namespace of the node": any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
    }


def _volume(volume: Document) -> Iterator[str]:
    if "hostPath" in volume:
        yield "mounts a folder of the node"
    if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
        yield f"volume {volume['name']} has no sizeLimit"


def _spread(manifests: list[Manifest]) -> Iterator[str]:
    for one in (each for each in manifests if each.kind == "Deployment"):
        spread = one.spec["template"]["spec"].get("topologySpreadConstraints", [])
        if not any(_selects(each["labelSelector"], one.spec["template"]["metadata"]["labels"]) for each in spread):
            yield f"{one}: is not spread over nodes"
        if "replicas" in one.spec:
            yield f"{one}: has a number of replicas, which every apply would set again under an autoscaler"


def _confined(one: Container) -> Iterator[str]:
    context = one.written.get("securityContext", {})
    if context.get("readOnlyRootFilesystem") is not True:
        yield "can write its file system"
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    if context.get("capabilities", {}) != {"drop": ["ALL"]}:
        yield "keeps capabilities"
    user = context.get("runAsUser", one.pod.get("securityContext", {}).get("runAsUser"))
    if user == 0 or context.get("runAsNonRoot") is False or (one.is_ours and user != 10001):
        yield f"runs as user {user}"


def _bounded(one: Container) -> Iterator[str]:
    resources = one.written.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield "requests no processor or no memory"
    if "memory" not in resources.get("limits", {}):
        yield "has no memory limit"


def _image(one: Container) -> Iterator[str]:
    name, _, tag = one.written["image"].rpartition(":")
    if not name or "/" in tag or tag == "latest":
        yield f"image {one.written['image']} has no tag of its own"
    elif one.is_ours and tag != VERSION:
        yield f"image {one.written['image']} is not of version {VERSION}"


def _probed(one: Container) -> Iterator[str]:
    if one.waits or one.of.kind in ENDS:
        return
    if "readinessProbe" not in one.written:
        yield "has no readinessProbe"
    ports = {port["name"] for port in one.written.get("ports", [])}
    for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = one.written.get(kind, {}).get("httpGet")
        if probe and probe["port"] not in ports:
            yield f"{kind} asks port {probe['port']}, which is not there"
    if "livenessProbe" in one.written and one.written["livenessProbe"].get("httpGet", {}).get("path") != "/health/live":
        yield "livenessProbe asks more than whether the process answers"


def _mounted(one: Container) -> Iterator[str]:
    claimed = [{"name": claim["metadata"]["name"]} for claim in one.of.spec.get("volumeClaimTemplates", [])]
    volumes = {volume["name"] for volume in (*one.pod.get("volumes", []), *claimed)}
    mounts = {mount["name"]: mount["mountPath"] for mount in one.written.get("volumeMounts", [])}
    for name in mounts.keys() - volumes:
        yield f"mounts {name}, which is not there"
    if "/tmp" not in mounts.values():
        yield "has no /tmp"


# --- settings and secrets ---------------------------------------------------------------------------------------------


def _variables(manifests: list[Manifest]) -> Iterator[str]:
    maps = _named(manifests, "ConfigMap")
    secrets = _named(manifests, "Secret")
    for one in containers_of(manifests):
        known = SETTINGS_OF_OURS - {"CI"} if one.is_ours else OF_POSTGRES
        for reference in one.written.get("envFrom", []):
            name = reference.get("configMapRef", {}).get("name")
            if name not in maps:
                yield f"{one}: takes variables from {reference}, which is no ConfigMap here"
            for variable, value in maps.get(name, {}).items():
                if variable not in known or variable in SECRETS:
                    yield f"{one}: variable {variable} of ConfigMap {name} is unknown or a secret"
                if WITH_PASSWORD.search(value):
                    yield f"ConfigMap {name}: a password stands in {variable}"
        for variable in one.written.get("env", []):
            yield from (f"{one}: {fault}" for fault in _variable(one, variable, known, secrets))


def _variable(one: Container, variable: Document, known: set[str], secrets: dict[str, Any]) -> Iterator[str]:
    name, value = variable["name"], variable.get("value", "")
    if name not in known:
        yield f"variable {name} is unknown"
    if (name in SECRETS and value) or WITH_PASSWORD.search(value):
        yield f"secret {name} is written out"
    reference = variable.get("valueFrom", {}).get("secretKeyRef")
    if reference and reference["key"] not in secrets.get(reference["name"], {}):
        yield f"{name} is taken from {reference['name']}, which has no {reference['key']} in {EXAMPLE}"
    if name.endswith("_FILE") and not any(value == path for path in _secret_files(one, secrets)):
        yield f"{name} names {value}, which no mounted secret brings"


def _secret_files(one: Container, secrets: dict[str, Any]) -> Iterator[str]:
    volumes = {volume["name"]: volume.get("secret") for volume in one.pod.get("volumes", [])}
    for mount in one.written.get("volumeMounts", []):
        if secret := volumes.get(mount["name"]):
            keys = secrets.get(secret["secretName"], {}).keys()
            wanted = {item["key"] for item in secret.get("items", [])} or keys
            yield from (f"{mount['mountPath']}/{key}" for key in keys & wanted)


def _references(manifests: list[Manifest]) -> Iterator[str]:
    there = {"configMap": _named(manifests, "ConfigMap"), "secret": _named(manifests, "Secret")}
    claims = _named(manifests, "PersistentVolumeClaim")
    for one in (each for each in manifests if each.template is not None):
        assert one.template is not None
        for volume in one.template["spec"].get("volumes", []):
            for kind, key in (("configMap", "name"), ("secret", "secretName")):
                known = kind not in volume or volume[kind][key] in there[kind] or volume[kind].get("optional")
                if not known:
                    yield f"{one}: volume {volume['name']} is of {kind} {volume[kind][key]}, which is not there"
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim is not None and claim not in claims:
                yield f"{one}: volume {volume['name']} is of claim {claim}, which is not there"
    for one in (each for each in manifests if each.kind == "TriggerAuthentication"):
        for reference in one.spec["secretTargetRef"]:
            if reference.get("key") not in there["secret"].get(reference.get("name"), {}):
                yield f"{one}: takes {reference} from no secret here"


def _secrets_apart(manifests: list[Manifest]) -> Iterator[str]:
    for one in manifests:
        if one.kind == "Secret" and one.file != EXAMPLE:
            yield f"{one}: a secret stands in a file that is applied"


def _named(manifests: list[Manifest], kind: str) -> dict[str, Any]:
    """What objects of a kind hold, by their names."""
    found = (one for one in manifests if one.kind == kind)
    return {one.name: one.document.get("stringData") or one.document.get("data") or {} for one in found}


# --- what selects what ------------------------------------------------------------------------------------------------


def _selects(selector: Document, labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(
        each["operator"] == "In" and labels.get(each["key"]) in each["values"]
        for each in selector.get("matchExpressions", [])
    )


def _selectors(manifests: list[Manifest]) -> Iterator[str]:
    pods = [one.template for one in manifests if one.template is not None]
    for one in manifests:
        if one.kind in STAYS and not _selects(one.spec["selector"], one.spec["template"]["metadata"]["labels"]):
            yield f"{one}: does not select its own pods"
        for selector in _selectors_of(one):
            chosen = [pod for pod in pods if _selects(selector, pod["metadata"]["labels"])]
            if not chosen:
                yield f"{one}: selects nothing by {selector}"
            if one.kind == "Service":
                yield from (f"{one}: {fault}" for fault in _ports(one, chosen))
        if one.kind == "PodDisruptionBudget" and one.spec.get("maxUnavailable") != 1:
            yield f"{one}: maxUnavailable is not 1, so that a single pod would keep its node from being emptied"


def _selectors_of(one: Manifest) -> Iterator[Document]:
    """Those that mean pods of this namespace."""
    if one.kind == "Service":
        yield {"matchLabels": one.spec["selector"]}
    if one.kind == "PodDisruptionBudget":
        yield one.spec["selector"]
    if one.kind == "NetworkPolicy":
        yield one.spec["podSelector"]
        peers = [
            rule.get("from", []) + rule.get("to", []) for key in ("ingress", "egress") for rule in one.spec.get(key, [])
        ]
        yield from (
            peer["podSelector"]
            for rule in peers
            for peer in rule
            if "podSelector" in peer and "namespaceSelector" not in peer
        )


def _ports(service: Manifest, pods: list[Document]) -> Iterator[str]:
    names = {port["name"] for pod in pods for each in pod["spec"]["containers"] for port in each.get("ports", [])}
    for port in service.spec["ports"]:
        if port["targetPort"] not in names:
            yield f"goes to port {port['targetPort']}, which no pod has"


def _targets(manifests: list[Manifest]) -> Iterator[str]:
    deployments = {one.name for one in manifests if one.kind == "Deployment"}
    services = {one.name: {port["name"] for port in one.spec["ports"]} for one in manifests if one.kind == "Service"}
    budgets = [one.spec["selector"] for one in manifests if one.kind == "PodDisruptionBudget"]
    for one in manifests:
        if (
            one.kind in ("HorizontalPodAutoscaler", "ScaledObject")
            and one.spec["scaleTargetRef"]["name"] not in deployments
        ):
            yield f"{one}: scales what is not there"
        if one.kind == "Deployment":
            labels = one.spec["template"]["metadata"]["labels"]
            if not any(_selects(selector, labels) for selector in budgets):
                yield f"{one}: has no PodDisruptionBudget"
        for rule in one.spec.get("rules", []) if one.kind == "Ingress" else []:
            for path in rule["http"]["paths"]:
                to = path["backend"]["service"]
                if to["port"].get("name") not in services.get(to["name"], set()):
                    yield f"{one}: leads to {to}, which is not there"


def _closed(manifests: list[Manifest]) -> Iterator[str]:
    policies = [one for one in manifests if one.kind == "NetworkPolicy"]
    closed = [one for one in policies if one.spec["podSelector"] == {} and not {"ingress", "egress"} & one.spec.keys()]
    if not any(set(one.spec["policyTypes"]) == {"Ingress", "Egress"} for one in closed):
        yield "network.yaml: nothing denies what is not named"


def _namespaced(manifests: list[Manifest]) -> Iterator[str]:
    seen: set[tuple[str, str]] = set()
    for one in manifests:
        if one.kind != "Namespace" and one.document["metadata"].get("namespace") != "pncp":
            yield f"{one}: is in no namespace, or another one"
        if (one.kind, one.name) in seen:
            yield f"{one}: is there twice"
        seen.add((one.kind, one.name))


def _released(manifests: list[Manifest]) -> Iterator[str]:
    for one in manifests:
        if one.kind == "Job" and one.name != f"migrations-{SCHEMA_REVISION}":
            yield f"{one}: the schema is at {SCHEMA_REVISION}, and its name has to say so"


def _kustomization(folder: Path, manifests: list[Manifest]) -> Iterator[str]:
    text = (folder / LIST).read_text()
    listed = yaml.safe_load(text)
    files = {path.name for path in folder.glob("*.yaml")} - {LIST, EXAMPLE}
    if set(listed["resources"]) != files - OPTIONAL:
        yield f"{LIST}: lists {sorted(set(listed['resources']) ^ (files - OPTIONAL))} wrongly"
    for name in OPTIONAL & files:
        if f"# - {name}\n" not in text:
            yield f"{LIST}: does not name {name}"
    images = {one.written["image"] for one in containers_of(manifests) if one.is_ours}
    named = {f"{image['name']}:{image['newTag']}" for image in listed["images"]}
    if named != images:
        yield f"{LIST}: names the images {sorted(named ^ images)} wrongly"


_MANIFEST_RULES = (
    _schemas,
    _pods,
    _spread,
    _variables,
    _references,
    _secrets_apart,
    _selectors,
    _targets,
    _closed,
    _namespaced,
    _released,
)
_CONTAINER_RULES = (_confined, _bounded, _image, _probed, _mounted)


def _each_container(rule: Any, manifests: list[Manifest]) -> Iterator[str]:
    for one in containers_of(manifests):
        yield from (f"{one}: {fault}" for fault in rule(one))


# --- ECS --------------------------------------------------------------------------------------------------------------


@cache
def _task_shape() -> Any:
    service = botocore.session.get_session().get_service_model("ecs")
    return service.operation_model("RegisterTaskDefinition").input_shape


def _task_definition(task: Document) -> Iterator[str]:
    report = ParamValidator().validate(task, _task_shape())
    if report.has_errors():
        yield report.generate_report()
        return
    yield from _enumerated(task, _task_shape(), "")
    if task.get("requiresCompatibilities") != ["FARGATE"] or not {"cpu", "memory", "executionRoleArn"} <= task.keys():
        yield "is not complete for Fargate"
    volumes = {volume["name"] for volume in task.get("volumes", [])}
    for one in task["containerDefinitions"]:
        yield from (f"{one['name']}: {fault}" for fault in _task_container(one, volumes))


def _task_container(one: Document, volumes: set[str]) -> Iterator[str]:
    wrong = {
        "may run as root": one.get("user") != "10001:10001" or bool(one.get("privileged")),
        "can write its file system": one.get("readonlyRootFilesystem") is not True,
        "keeps capabilities": one.get("linuxParameters", {}).get("capabilities") != {"drop": ["ALL"]},
        f"image {one['image']} is not of version {VERSION}": one["image"].rpartition(":")[2] != VERSION,
        "its log goes nowhere": "options" not in one.get("logConfiguration", {}),
        # ECS ends what is unhealthy, and a new process does not mend a database
        "asks the database whether it may live": one.get("healthCheck", {}).get("command", [""])[-1].count("health") > 0
        and "/health/live" not in one["healthCheck"]["command"][-1],
    }
    yield from (fault for fault, there in wrong.items() if there)
    for mount in one.get("mountPoints", []):
        if mount["sourceVolume"] not in volumes:
            yield f"mounts {mount['sourceVolume']}, which is not there"
    for variable in one.get("environment", []):
        if variable["name"] not in SETTINGS_OF_OURS:
            yield f"variable {variable['name']} is unknown"
        if variable["name"] in SECRETS or WITH_PASSWORD.search(variable["value"]):
            yield f"secret {variable['name']} is written out"
    for secret in one.get("secrets", []):
        # a courier's others are what files of connections refer to
        if secret["name"] not in SECRETS and one["name"] != "courier":
            yield f"secret {secret['name']} is unknown"
        if not secret["valueFrom"].startswith("arn:aws:"):
            yield f"secret {secret['name']} is no reference"


def _enumerated(value: Any, shape: Any, path: str) -> Iterator[str]:
    """botocore checks names and types, but not the values of enumerations."""
    if shape.type_name == "structure":
        for name, inner in value.items():
            yield from _enumerated(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            yield from _enumerated(inner, shape.member, path)
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path}: {value} is none of {', '.join(shape.enum)}"
