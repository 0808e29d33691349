"""The page's files: all that they refer to is there, and nothing of it lies on another host."""

import hashlib
import re
from pathlib import Path

import pytest

from tests.support import ROOT

WEB = ROOT / "backend" / "web"
ASSETS = WEB / "assets"
OWN = sorted([WEB / "index.html", *ASSETS.iterdir()])
REFERENCES = re.compile(r"""(?:src|href)="(/[^"]*)"|(?:from|import)\s*\(?\s*"([^"]+)"|url\(\s*["']?([^)"']+)""")
NAMESPACE = "http://www.w3.org/2000/svg"


def files_of(address: str, base: Path) -> Path:
    """The file behind an address, as backend/api/page.py serves it."""
    path = address if address.startswith("/") else f"/assets/{(base.parent / address).resolve().relative_to(ASSETS)}"
    if path.startswith("/assets/preact/"):
        return WEB / "vendor" / "preact" / path.removeprefix("/assets/preact/")
    return ASSETS / path.removeprefix("/assets/")


def references_of(path: Path) -> set[str]:
    return {next(filter(None, groups)) for groups in REFERENCES.findall(path.read_text())}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_whatever_a_file_refers_to_is_there(path: Path) -> None:
    for address in references_of(path):
        assert files_of(address, path).is_file(), address


IMPORTS = re.compile(r"""^(?:import|export)\b[^;]*?\bfrom\s+"([^"]+)"|^import\s+"([^"]+)\"""", re.MULTILINE)


def imports_of(path: Path) -> set[Path]:
    """What a module imports when it is loaded, and not later."""
    return {files_of("".join(groups), path) for groups in IMPORTS.findall(path.read_text())}


def test_the_document_names_every_module_that_the_first_view_needs() -> None:
    """So that the browser fetches them side by side, not level by level."""
    needed, left = set[Path](), {ASSETS / "main.js"}
    while left:
        needed |= left
        left = {module for path in left for module in imports_of(path)} - needed
    named = re.findall(r'<link rel="modulepreload" href="([^"]+)">', (WEB / "index.html").read_text())
    assert sorted(files_of(address, WEB / "index.html") for address in named) == sorted(needed - {ASSETS / "main.js"})


def test_every_asset_is_used() -> None:
    used = {files_of(address, path).resolve() for path in OWN for address in references_of(path)}
    assert {path.name for path in ASSETS.iterdir()} == {path.name for path in used if path.parent == ASSETS}
    assert WEB / "vendor" / "preact" / "preact.js" in used


@pytest.mark.parametrize("path", [*OWN, WEB / "vendor" / "preact" / "preact.js"], ids=lambda path: path.name)
def test_nothing_refers_to_another_host(path: Path) -> None:
    text = path.read_text().replace(NAMESPACE, "")
    assert not re.findall(r"(?:https?:|wss?:)?//[a-z0-9-]+\.[a-z]", text)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_needs_what_the_policy_forbids(path: Path) -> None:
    text = path.read_text()
    if path.suffix == ".html":
        assert not re.search(r"<style|<script>|\sstyle=|\son[a-z]+=", text)
    assert not re.search(r"\beval\(|new Function|innerHTML|dangerouslySetInnerHTML|document\.write", text)


@pytest.mark.parametrize("folder", [WEB / "vendor", ROOT / "tests" / "vendor"], ids=lambda path: str(path.parent.name))
def test_what_comes_from_elsewhere_is_unchanged_and_has_its_licence(folder: Path) -> None:
    sums = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    found = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/*")}
    assert sums.keys() == found.keys()
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sums[name], name
    for package in {path.parent for path in found.values()}:
        assert list(package.glob("LICENSE*")), package
        assert f"{package.name}: " in (folder / "README.md").read_text()
