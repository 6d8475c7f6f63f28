"""One file, one process, several transports: each has its own users, and none suffers from another."""

import subprocess
from pathlib import Path

import pytest

from admin import manager
from conversation import message
from transport import systemctl


async def test_each_vhost_has_its_own_users_and_one_process_serves_all(xmpp, transport, irc):
    vhost = f"xmpp.{xmpp.domain}"
    gateway = await transport("irc", vhosts__vhost=[vhost])
    await gateway.says_of_itself("2 of 2 transports connected, 0 users online")
    romeo, juliet = await xmpp.login("romeo"), await xmpp.login("juliet")
    nurse = await irc.connect("nurse")

    await romeo.logs_in(gateway.jid, username="romeo")
    await juliet.logs_in(vhost, username="juliet")
    await nurse.gets_sight_of("romeo")
    await nurse.gets_sight_of("juliet")
    await gateway.says_of_itself("2 of 2 transports connected, 2 users online, 2 backends")

    nurse.says("juliet", "Madam!")
    await juliet.receives(message("Madam!", sender=f"nurse@{vhost}"))
    romeo.says(f"nurse@{gateway.jid}", "What says my love?")
    await nurse.hears("What says my love?", by="romeo")

    # One process, and for each a database and a name on the bus.
    assert all(Path(f"/var/lib/spectrum2/{jid}/database.sql").exists() for jid in (gateway.jid, vhost))
    for jid, here, elsewhere in [("irc", "romeo", "juliet"), (vhost, "juliet", "romeo")]:
        users = await manager(f"users {jid}")
        assert users.status == 0 and here in users.out and elsewhere not in users.out, users
    shown = await manager("status")
    rows = [line.split()[:3] for line in shown.out.splitlines()[1:]]
    assert shown.status == 0 and rows == [["irc", gateway.jid, "running"], [vhost, "running", "1/1"]], shown

    before = gateway.property("MainPID")
    status, output = await systemctl("reload", gateway.unit)
    assert status == 0, output
    assert gateway.property("MainPID") == before
    reloaded = await manager("reload irc")
    assert (reloaded.status, reloaded.out) == (0, "irc: reloaded\n"), reloaded

    await gateway.stop()
    await nurse.loses_sight_of("romeo")
    await nurse.loses_sight_of("juliet")


async def test_who_was_logged_in_through_a_vhost_is_so_after_a_restart(xmpp, transport, irc):
    vhost = f"xmpp.{xmpp.domain}"
    gateway = await transport("irc", vhosts__vhost=[vhost])
    juliet, nurse = await xmpp.login("juliet"), await irc.connect("nurse")
    await juliet.logs_in(vhost, username="juliet")
    await nurse.gets_sight_of("juliet")

    await gateway.restart()

    await gateway.says_of_itself("2 of 2 transports connected, 1 user online")
    nurse.says("juliet", "Are you so hot?")
    await juliet.receives(message("Are you so hot?", sender=f"nurse@{vhost}"))


@pytest.mark.parametrize("xmpp", ["prosody"], indirect=True)  # ejabberd has one secret for all components of a port.
async def test_a_vhost_that_the_server_refuses_is_named_and_the_others_work(xmpp, transport, irc):
    refused = f"montague.{xmpp.domain}"
    gateway = await transport("irc", vhosts__vhost=[refused, f"xmpp.{xmpp.domain}"])
    told = await gateway.says_of_itself("2 of 3 transports connected")
    assert f"; {refused}: " in told and "not-authorized" in told, told
    await gateway.journal_says(f"The secret is not the one that the server has for the component {refused}")
    await gateway.journal_says(f"{refused} is tried again; the other transports of this file go on.")

    romeo, nurse = await xmpp.login("romeo"), await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")
    await nurse.gets_sight_of("romeo")

    shown = await manager("status irc")
    assert shown.status == 3, shown
    assert f"{refused} waiting, not-authorized" in " ".join(shown.out.split()), shown


@pytest.mark.parametrize("xmpp", ["prosody"], indirect=True)
async def test_a_vhost_whose_database_is_broken_is_named_and_served_when_it_is_mended(xmpp, transport, irc):
    vhost = f"xmpp.{xmpp.domain}"
    gateway = transport.prepared("irc", vhosts__vhost=[vhost])
    database = Path(f"/var/lib/spectrum2/{vhost}/database.sql")
    database.parent.mkdir(mode=0o700)
    database.write_text("Here lies an old letter.\n")
    subprocess.run(["chown", "-R", "spectrum:spectrum", database.parent], check=True)
    await gateway.start()
    told = await gateway.says_of_itself("1 of 2 transports connected")
    assert f"; {vhost}: not served (The database {database} is not an SQLite file" in told, told
    await gateway.journal_says(f"{vhost} is tried again; the other transports of this file go on.")
    shown = await manager("status irc")
    assert shown.status == 3, shown
    assert f"{vhost} waiting, The database {database} is not" in " ".join(shown.out.split()), shown
    asked = await manager(f"users {vhost}")
    assert asked.status != 0 and f"{vhost} is not served: The database {database}" in asked.err, asked
    reloaded = await manager("reload irc")
    assert reloaded.status == 1 and f"failed: {vhost} is not served: The database" in reloaded.err, reloaded
    pid = gateway.property("MainPID")
    romeo, nurse = await xmpp.login("romeo"), await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")
    await nurse.gets_sight_of("romeo")

    database.unlink()
    # It would be tried again by itself; who is in a hurry asks for it.
    reloaded = await systemctl("reload", gateway.unit)
    assert reloaded[0] == 0, reloaded
    await gateway.says_of_itself("2 of 2 transports connected")
    juliet = await xmpp.login("juliet")
    await juliet.logs_in(vhost, username="juliet")
    await nurse.gets_sight_of("juliet")
    assert gateway.property("MainPID") == pid
    users = await manager(f"users {vhost}")
    assert users.status == 0 and "juliet" in users.out, users


@pytest.mark.parametrize("xmpp", ["prosody"], indirect=True)
async def test_if_the_server_refuses_all_the_unit_does_not_claim_to_work(xmpp, transport):
    refused = f"montague.{xmpp.domain}"
    gateway = transport.prepared("irc", service__jid=refused, vhosts__vhost=[f"irc.{xmpp.domain}"],
                                 service__password="capulet-of-old")
    await gateway.fails_to_start()
    assert gateway.property("ExecMainStatus") == "77"
    await gateway.journal_says(f"component {refused}")
    await gateway.journal_says(f"component irc.{xmpp.domain}")
