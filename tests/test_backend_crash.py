"""A backend that dies takes only its own users, and they are back before they notice."""

import os
import signal

from conversation import message


async def test_users_of_a_killed_backend_are_back_and_others_notice_nothing(xmpp, transport, irc):
    gateway = await transport("irc", service__users_per_backend=1)
    nurse = await irc.connect("nurse")
    contact = f"nurse@{gateway.jid}"
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    romeos = await gateway.backend_of_one()
    juliet = await xmpp.login("juliet")
    await juliet.logs_in(gateway.jid, username="juliet")

    os.kill(romeos, signal.SIGSEGV)

    await nurse.loses_sight_of("romeo")
    await nurse.gets_sight_of("romeo")
    nurse.says("romeo", "What happened?")
    await romeo.receives(message("What happened?", sender=contact))
    romeo.says(contact, "Nothing that I noticed.")
    await nurse.hears("Nothing that I noticed.", by="romeo")

    # Nobody is told of what mended itself, and juliet's connection is still the old one.
    romeo.has_not_received(message(sender=gateway.jid))
    assert await nurse.sees("juliet")
    juliet.says(contact, "And me?")
    await nurse.hears("And me?", by="juliet")
    assert romeos not in gateway.backends()


async def test_messages_during_the_crash_arrive_or_come_back(xmpp, transport, network):
    gateway = await transport("xmpp", service__protocol="prpl-jabber", service__users_per_backend=1)
    romeo = await xmpp.login("romeo")
    nurse = await network.login("nurse")
    await network.login("romeo", online=False)
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    contact = f"nurse\\40{network.domain}@{gateway.jid}"
    backend = await gateway.backend_of_one()

    sent = set()
    for n in range(50):
        sent.add(romeo.says(contact, f"number {n}"))
        if n == 25:
            os.kill(backend, signal.SIGSEGV)
    romeo.says(contact, "the last")
    await nurse.receives(message("the last", sender=f"romeo@{network.domain}"), within=30)

    arrived = {stanza["body"] for stanza in nurse.has_received(message(sender=f"romeo@{network.domain}"))}
    returned = {stanza["id"] for stanza in romeo.has_received(message(sender=contact, error="recipient-unavailable"))}
    assert len(sent) <= len(arrived) + len(returned)


async def test_the_launcher_dies_too(xmpp, transport, irc):
    gateway = await transport("irc")
    nurse = await irc.connect("nurse")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")

    os.kill(int(await gateway.backend_is_up()), signal.SIGKILL)

    await nurse.loses_sight_of("romeo")
    await nurse.gets_sight_of("romeo")
    nurse.says("romeo", "Again?")
    await romeo.receives(message("Again?", sender=f"nurse@{gateway.jid}"))
