"""Secrets: those that everybody can read are refused with what mends it, and systemd's credentials stand in for all."""

import re
import subprocess
from pathlib import Path

import pytest

from transport import SECRET, systemctl

# How a secret comes here is not the server's business.
pytestmark = pytest.mark.prosody

TRANSPORTS = Path("/etc/spectrum2/transports")


@pytest.fixture
def as_spectrum_2_left_it():
    """The directory of transport files as the packages of Spectrum 2 have it: open to everybody."""
    before = TRANSPORTS.stat()
    subprocess.run(["chown", "root:root", TRANSPORTS], check=True)
    TRANSPORTS.chmod(0o755)
    yield
    subprocess.run(["chown", f"{before.st_uid}:{before.st_gid}", TRANSPORTS], check=True)
    TRANSPORTS.chmod(before.st_mode & 0o7777)


@pytest.fixture
async def drop_in():
    """Writes drop-ins of a unit; they are gone after the scenario."""
    written: list[Path] = []

    async def write(unit: str, text: str) -> None:
        file = Path(f"/run/systemd/system/{unit}.d/secrets.conf")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        written.append(file)
        await systemctl("daemon-reload")

    yield write
    for file in written:
        file.unlink()
    await systemctl("daemon-reload")


async def test_an_upgrade_from_spectrum_2_says_what_to_type_and_that_is_enough(transport, as_spectrum_2_left_it):
    irc = transport.prepared("irc")
    irc.write()
    subprocess.run(["chown", "root:root", irc.file], check=True)
    irc.file.chmod(0o644)
    fix = f"chown root:spectrum {irc.file} && chmod 640 {irc.file}"

    status, _ = await systemctl("start", irc.unit)
    assert status != 0
    assert irc.property("ExecMainStatus") == "77"
    assert irc.property("NRestarts") == "0"
    assert f"Run: {fix}" in irc.property("StatusText")
    assert f"Run: {fix}" in irc.journal()
    for command in (["spectrum2", "check", irc.file], ["spectrum2_manager", "check", "irc"],
                    ["spectrum2_manager", "status", "irc"], ["spectrum2_manager", "start", "irc"]):
        ran = subprocess.run(command, capture_output=True, text=True)
        assert ran.returncode != 0, command
        assert fix in re.sub(r"\s+", " ", ran.stdout + ran.stderr), command

    subprocess.run(["sh", "-c", fix], check=True)
    subprocess.run(["systemctl", "start", irc.unit], check=True)
    await irc.says_of_itself("connected")


async def test_a_directory_that_is_closed_is_enough(transport):
    irc = transport.prepared("irc")
    irc.write()
    irc.file.chmod(0o644)
    subprocess.run(["systemctl", "start", irc.unit], check=True)
    await irc.says_of_itself("connected")


async def test_credentials_stand_in_for_secrets(transport, drop_in):
    places = {"component-password": SECRET, "encryption-key": "hanzzik", "database-password": "mercutio"}
    lines = []
    for name, secret in places.items():
        file = Path(f"/root/{name}")
        file.write_text(f"{secret}\n")
        file.chmod(0o600)
        lines.append(f"LoadCredential={name}:{file}\n")
    await drop_in("spectrum2@irc.service", "[Service]\n" + "".join(lines))
    irc = await transport("irc", service__password=None)
    await irc.says_of_itself("connected")
    # What the key is for, SQLite has not; that it came is what is seen here.
    assert "database.encryption_key does nothing for SQLite" in irc.journal()
    assert not [secret for secret in places.values() if secret in irc.journal()]
    # Who looks from outside sees that they are there, and not what they are.
    for command in (["spectrum2", "check", "irc"], ["spectrum2_manager", "check", "irc"]):
        checked = subprocess.run(command, capture_output=True, text=True)
        assert checked.returncode == 0 and "secrets:   component-password, database-password, " in checked.stdout, checked
    # A file with no secret in it may be public.
    irc.file.chmod(0o644)
    await irc.restart()
    await irc.stop()
    stopped = subprocess.run(["spectrum2_manager", "status", "irc"], capture_output=True, text=True)
    assert "cannot start" not in stopped.stdout, stopped


async def test_encrypted_credentials_stand_in_for_secrets(transport, drop_in):
    encrypted = Path("/etc/spectrum2/irc.cred")
    made = subprocess.run(["systemd-creds", "encrypt", "--with-key=host", "--name=component-password", "-", encrypted],
                          input=SECRET, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    try:
        await drop_in("spectrum2@irc.service",
                      f"[Service]\nLoadCredentialEncrypted=component-password:{encrypted}\n")
        irc = await transport("irc", service__password=None)
        await irc.says_of_itself("connected")
    finally:
        encrypted.unlink()


async def test_a_credential_goes_before_the_file(transport, drop_in):
    secret = Path("/root/component-password")
    secret.write_text(SECRET)
    await drop_in("spectrum2@irc.service", f"[Service]\nLoadCredential=component-password:{secret}\n")
    irc = await transport("irc", service__password="escalus")
    await irc.says_of_itself("connected")
