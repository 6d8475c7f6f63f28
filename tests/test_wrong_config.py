"""What is wrong is said in one line with its place and the next step, by status and by exit status."""

import subprocess
from pathlib import Path

import pytest

# The files' mistakes are the same at every server.
pytestmark = pytest.mark.prosody


@pytest.mark.parametrize("mistake, words", [
    ({"service.port": "many"}, ["irc.cfg:4", "service.port", "many"]),
    ({"service.protcol": "prpl-irc"}, ["service.protcol", "service.protocol"]),
    ({"service.jid": None}, ["service.jid"]),
    ({"database.type": "oracle"}, ["database.type", "oracle", "sqlite3"]),
])
async def test_a_mistake_in_the_file(transport, mistake, words):
    irc = transport.prepared("irc")
    irc.options.update(mistake)
    irc.write()
    checked = subprocess.run(["spectrum2", "check", irc.file], capture_output=True, text=True)
    assert not [word for word in words if word not in checked.stdout + checked.stderr], checked.stdout + checked.stderr


async def test_all_mistakes_are_told_at_once_and_nothing_is_tried_again(transport):
    irc = transport.prepared("irc", service__port="many", database__type="oracle")
    await irc.fails_to_start()
    assert irc.property("ExecMainStatus") == "78"
    assert irc.property("NRestarts") == "0"
    said = irc.journal()
    assert "service.port" in said and "database.type" in said


async def test_an_unreadable_file(transport):
    irc = transport.prepared("irc")
    irc.write()
    irc.file.chmod(0o600)
    status = subprocess.run(["systemctl", "start", irc.unit], capture_output=True).returncode
    assert status != 0
    assert irc.property("ExecMainStatus") == "77"
    assert str(irc.file) in irc.journal()


async def test_a_database_that_cannot_be_opened(transport):
    place = Path("/var/lib/spectrum2/closed")
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    irc = transport.prepared("irc", database__database=f"{place}/database.sql")
    await irc.fails_to_start()
    assert irc.property("ExecMainStatus") == "77"
    assert f"{place}/database.sql" in irc.journal()
    place.rmdir()


async def test_a_plugin_that_is_not_installed(transport):
    irc = await transport("irc", service__protocol="prpl-pigeon")
    await irc.journal_says("prpl-pigeon")


async def test_a_wrong_secret(transport):
    """Not fatal by itself: the admin may be about to change it at the server. But the status says it."""
    irc = transport.prepared("irc", service__password="escalus")
    irc.write()
    subprocess.run(["systemctl", "start", "--no-block", irc.unit], check=True)
    status = await irc.says_of_itself("service.password")
    assert "prosody.test" in status
    assert "escalus" not in irc.journal() + status


async def test_a_server_that_is_not_there(transport):
    irc = transport.prepared("irc", service__port=5999)
    irc.write()
    subprocess.run(["systemctl", "start", "--no-block", irc.unit], check=True)
    assert "5999" in await irc.says_of_itself("refused")
