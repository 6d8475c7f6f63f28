"""Debian packages: what installing, upgrading, removing and purging them does, and does not do.

Run where the programs under test came from packages: `make e2e INSTALL=deb`.
"""

import gzip
import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from admin import until
from transport import systemctl

DEBS = sorted(Path("/var/cache/spectrum2-packages").glob("*.deb"))
NAMES = [deb.name.partition("_")[0] for deb in DEBS]
USERS = ["spectrum", "spectrum-backend"]

pytestmark = [
    # Packages do not care which server it is.
    pytest.mark.prosody,
    pytest.mark.skipif(not DEBS, reason="the programs were not installed from packages"),
]


@pytest.fixture(autouse=True)
def installed():
    """Whatever a scenario does, the next one finds the packages installed."""
    yield
    install()


def test_installing_enables_and_starts_nothing():
    dpkg("--purge", *NAMES)
    install()
    assert units("list-units", "--all", "--state=active,activating,failed") == []
    assert [unit for unit in units("list-unit-files") if "enabled" in unit.split()[1:2]] == []
    assert processes_of_ours() == []


def test_directories_are_open_to_whom_they_concern():
    assert modes("/etc/spectrum2", "/etc/spectrum2/transports", "/run/spectrum2-backend") == [
        "/etc/spectrum2 755 root root",
        "/etc/spectrum2/transports 2750 root spectrum",
        "/run/spectrum2-backend 2755 root spectrum-backend",
    ]


def test_the_example_is_a_transport_file():
    """A copy made as it says belongs to the daemon's group by itself, and nothing is wrong with it."""
    place = Path("/etc/spectrum2/transports")
    subprocess.run(["install", "-m", "640", "irc.cfg.example", "example.cfg"], cwd=place, check=True)
    try:
        assert modes(place / "example.cfg") == [f"{place}/example.cfg 640 root spectrum"]
        checked = subprocess.run(["spectrum2", "check", "example"], capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")
        assert "arning" not in checked.stdout
    finally:
        (place / "example.cfg").unlink()


@pytest.mark.parametrize("command, section", [
    ("/usr/bin/spectrum2", 8),
    ("/usr/libexec/spectrum2_backend_launcher", 8),
    ("/usr/libexec/spectrum2_libpurple_backend", 8),
    ("/usr/bin/spectrum2_manager", 1),
    ("/usr/bin/spectrum2_manager create", 1),
    ("/usr/bin/spectrum2_manager status", 1),
    ("/usr/bin/spectrum2_manager log", 1),
    ("/usr/bin/spectrum2_manager user", 1),
])
def test_the_manual_has_what_help_has(command, section):
    """Options, and subcommands where there are some."""
    told = subprocess.run([*command.split(), "--help"], capture_output=True, text=True, check=True).stdout
    words = {option.lower() for option in re.findall(r"--[A-Za-z][\w.-]*", told)} - {"--section.key"}
    commands = told.partition("\nCommands:\n")[2].partition("\n\n")[0]
    words |= set(re.findall(r"^  (\w+)", commands, re.MULTILINE)) - {"help"}
    assert words
    name = Path(command.split()[0]).name
    page = gzip.open(f"/usr/share/man/man{section}/{name}.{section}.gz", "rt").read().replace("\\-", "-")
    assert {word for word in words if word not in page} == set()


async def test_an_upgrade_restarts_nothing(transport):
    irc = await transport("irc")
    before = irc.property("MainPID"), await irc.backend_is_up()
    install()
    assert (irc.property("MainPID"), irc.property("MainPID", irc.backend_unit)) == before
    assert irc.property("NeedDaemonReload") == "no"


def test_the_package_of_spectrum_2_is_replaced(tmp_path):
    """What people wrote stays; what would start transports beside the units goes."""
    dpkg("--purge", *NAMES)
    settings = ["etc/init.d/spectrum2", "etc/spectrum2/logging.cfg", "etc/spectrum2/spectrum_manager.cfg"]
    programs = ["usr/bin/spectrum2", "usr/bin/spectrum2_manager", "lib/systemd/system/spectrum2.service"]
    dpkg("--install", package_of_spectrum_2(tmp_path, settings, programs))
    wanted = Path("/etc/systemd/system/multi-user.target.wants/spectrum2.service")
    wanted.symlink_to("/lib/systemd/system/spectrum2.service")
    written = Path("/etc/spectrum2/transports/icq.cfg")
    written.parent.mkdir()
    written.write_text("[service]\njid=icq.prosody.test\n")

    install()
    assert [path for path in settings if Path("/", path).exists()] == settings[1:]
    assert not wanted.is_symlink()
    assert [path for path in programs if Path("/", path).exists() and Path("/", path).stat().st_size] == programs[:2]
    assert written.read_text() == "[service]\njid=icq.prosody.test\n"
    assert modes(written.parent) == ["/etc/spectrum2/transports 2750 root spectrum"]
    assert [unit for unit in units("list-unit-files") if unit.startswith("spectrum2.service")] == []

    dpkg("--purge", *NAMES)
    assert left_over() == []


async def test_a_removal_stops_what_runs_and_keeps_what_people_wrote(transport):
    irc = await transport("irc")
    await irc.backend_is_up()
    await systemctl("enable", irc.unit)
    dpkg("--remove", *NAMES)
    assert units("list-units", "--state=active,activating") == []
    assert processes_of_ours() == []
    assert irc.file.exists() and Path("/var/lib/spectrum2", irc.jid).is_dir()

    install()
    assert irc.property("UnitFileState") == "enabled"
    await irc.start()
    await systemctl("disable", irc.unit)


async def test_the_backends_package_alone_can_go(transport):
    """The daemon stays, and says what is missing."""
    irc = await transport("irc")
    await irc.backend_is_up()
    dpkg("--remove", "spectrum2-backend-libpurple")
    assert [process for process in processes_of_ours() if "libpurple" in process] == []
    assert irc.property("ActiveState") == "active"


async def test_a_purge_leaves_nothing(transport):
    irc = await transport("irc")
    await irc.backend_is_up()
    await systemctl("enable", irc.unit, "spectrum2.target")
    Path("/etc/systemd/system/spectrum2@irc.service.d").mkdir()
    Path("/etc/systemd/system/spectrum2@irc.service.d/override.conf").write_text("[Service]\nNice=5\n")
    assert irc.file.as_posix() in left_over()
    dpkg("--purge", *NAMES)
    assert left_over() == []
    assert processes_of_ours() == []
    # As is usual on Debian; README.Debian says why.
    assert [user for user in USERS if pwd.getpwnam(user)] == USERS


def test_a_purge_after_a_removal_leaves_nothing_either():
    dpkg("--remove", *NAMES)
    dpkg("--purge", *NAMES)
    assert left_over() == []


def test_autopkgtest_of_the_units():
    autopkgtest("units")


async def test_autopkgtest_with_prosody(xmpp):
    """Prosody is then as Debian installs it."""
    ours, theirs = Path("/etc/prosody/prosody.cfg.lua"), Path("/etc/prosody/prosody.cfg.lua.debian")
    before = ours.read_text()
    ours.write_text(theirs.read_text())
    try:
        autopkgtest("transport-meets-prosody")
    finally:
        ours.write_text(before)
        await systemctl("restart", xmpp.unit)
        await until(xmpp.listens, "Prosody is back")
        shutil.rmtree("/var/lib/spectrum2/irc.localhost", ignore_errors=True)
        shutil.rmtree("/var/lib/spectrum2-backend/irc", ignore_errors=True)


def autopkgtest(name: str) -> None:
    """Runs one of debian/tests, as Debian does."""
    script = Path("/var/cache/spectrum2-packages/tests", name)
    control = (script.parent / "control").read_text()
    assert f"Tests: {name}\n" in control, f"{name} is not in debian/tests/control"
    done = subprocess.run([script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def install() -> None:
    """Installs the packages, or upgrades them to the same version."""
    dpkg("--install", *DEBS)


def dpkg(*arguments: str | Path) -> None:
    """Runs dpkg as apt does."""
    done = subprocess.run(["dpkg", "--force-confold", "--auto-deconfigure", *arguments], capture_output=True, text=True,
                          env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    assert done.returncode == 0, done.stdout + done.stderr


def package_of_spectrum_2(place: Path, settings: list[str], programs: list[str]) -> Path:
    """A package with the name and the files of the real one, of which nothing runs here."""
    root = place / "package"
    for path in [*settings, *programs]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("")
    (root / "DEBIAN").mkdir()
    (root / "DEBIAN/conffiles").write_text("".join(f"/{path}\n" for path in settings))
    machine = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    (root / "DEBIAN/control").write_text(
        f"Package: spectrum2\nVersion: 1:2.2.1-1\nArchitecture: {machine.strip()}\n"
        "Maintainer: nobody <nobody@example.org>\nDescription: XMPP transport\n")
    subprocess.run(["dpkg-deb", "--build", root, place], capture_output=True, check=True)
    return next(place.glob("*.deb"))


def units(*command: str) -> list[str]:
    """What systemd lists of our units, a line each."""
    listed = subprocess.run(["systemctl", "--no-legend", "--plain", *command, "spectrum2*"],
                            capture_output=True, text=True, check=True)
    return listed.stdout.splitlines()


def processes_of_ours() -> list[str]:
    """The command lines of the processes that run as one of our users."""
    listed = subprocess.run(["ps", "-o", "args=", "-u", ",".join(USERS)], capture_output=True, text=True)
    return listed.stdout.splitlines()


def modes(*paths: str | Path) -> list[str]:
    """Permissions and owners."""
    return subprocess.run(["stat", "--format=%n %a %U %G", *paths], capture_output=True, text=True,
                          check=True).stdout.splitlines()


def left_over() -> list[str]:
    """Files that have our name or belong to one of our users, wherever they are."""
    owned = [word for user in USERS for word in ("-o", "-user", user, "-o", "-group", user)]
    others = [word for place in ("/proc", "/sys", "/tests", "/tmp/pytest-of-root", "/var/cache/spectrum2-packages")
              for word in ("-path", place, "-prune", "-o")]
    found = subprocess.run(["find", "/", *others, "(", "-name", "*spectrum*", *owned, ")", "-print"],
                           capture_output=True, text=True)
    return found.stdout.splitlines()
