"""Arrows between our packages never point back: ARCHITECTURE.md says which may use which, and this keeps it so."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ALLOWED = {
    "spectrum2": {"spectrum2-config", "spectrum2-log", "spectrum2-xmpp", "spectrum2-backend-protocol"},
    "spectrum2-config": set(),
    "spectrum2-log": set(),
    "spectrum2-xmpp": set(),
    "spectrum2-backend-protocol": set(),
    "libpurple-sys": set(),
    "spectrum2-libpurple-backend": {"libpurple-sys", "spectrum2-backend-protocol", "spectrum2-config", "spectrum2-log"},
    "spectrum2-backend-launcher": {"spectrum2-backend-protocol", "spectrum2-config", "spectrum2-log"},
    "spectrum2-manager": {"spectrum2-config", "spectrum2-log"},
}

# Backends do not wait on tokio: libpurple's loop is GLib's, and the launcher forks.
WITHOUT_TOKIO = ["spectrum2-libpurple-backend", "spectrum2-backend-launcher", "spectrum2-backend-protocol",
                 "spectrum2-log"]


@pytest.fixture(scope="module")
def packages():
    described = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps", "--offline"], cwd=ROOT,
                               capture_output=True, text=True, check=True)
    return {package["name"]: package for package in json.loads(described.stdout)["packages"]}


def test_every_package_has_its_rule(packages):
    assert set(packages) <= set(ALLOWED), "a new package needs a line here and in ARCHITECTURE.md"


def test_no_arrow_points_where_it_may_not(packages):
    forbidden = {
        name: arrows
        for name, package in packages.items()
        if (arrows := {used["name"] for used in package["dependencies"]} & set(packages) - ALLOWED[name])
    }
    assert forbidden == {}


def test_backends_are_free_of_tokio():
    for package in WITHOUT_TOKIO:
        tree = subprocess.run(["cargo", "tree", "--package", package, "--prefix=none", "--edges=normal", "--offline"],
                              cwd=ROOT, capture_output=True, text=True, check=True)
        assert "tokio " not in tree.stdout, f"{package} pulls in tokio"


def test_versions_of_dependencies_are_named_once(packages):
    """The workspace names them; each package only says which it uses."""
    for name, package in packages.items():
        manifest = Path(package["manifest_path"]).read_text()
        dependencies = manifest.partition("[dependencies]")[2].partition("\n[[")[0]
        own = [line for line in dependencies.splitlines() if "version" in line and "=" in line]
        assert own == [], f"{name} names versions of its own"
