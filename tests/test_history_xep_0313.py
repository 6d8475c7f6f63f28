"""What was said in rooms: archives, the past that a join shows, and people who stay connected."""

import asyncio
import os
import signal

import pytest

from conversation import PATIENCE, Expectation, message, presence

DISCO_INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
DELAY = "{urn:xmpp:delay}delay"


def codes(stanza) -> set[str]:
    """The status codes of an occupant's presence."""
    return {status.get("code") for status in stanza.xml.iter("{http://jabber.org/protocol/muc#user}status")}


def subject(room: str) -> Expectation:
    """The subject of a room, which ends its history."""
    return message(sender=room, where=lambda stanza: stanza.xml.find("{jabber:client}subject") is not None)


async def enters(person, room: str, nick: str, *inside: str) -> list[str]:
    """Joins, and waits until all is shown; returns what was said before."""
    person.inbox.unread.clear()
    person.joins(room, nick, *inside)
    await person.receives(presence(sender=f"{room}/{nick}", where=lambda stanza: "110" in codes(stanza)))
    await person.receives(subject(room))
    past = person.has_received(message(where=lambda stanza: stanza["from"].bare == room))
    return [stanza["body"] for stanza in past if stanza.xml.find(DELAY) is not None]


async def is_told(tybalt, listener, room: str, *texts: str) -> list[str]:
    """Tybalt says this on IRC; returns the ids under which the listener has heard it."""
    ids = []
    for text in texts:
        tybalt.says("#verona", text)
        heard = await listener.receives(message(text, sender=f"{room}/tybalt"))
        ids.append(heard.xml.find("{urn:xmpp:sid:0}stanza-id").get("id"))
    return ids


async def is_away(irc_user, nick: str) -> None:
    """Waits until somebody is marked as away, in whatever words."""
    absence = Expectation("an absence", lambda line: line.command == "301")
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while await irc_user.replied(f"WHOIS {nick}", "318") and not irc_user.inbox.take(absence):
        assert asyncio.get_running_loop().time() < deadline, f"{nick} is not away"
        await asyncio.sleep(0.05)  # IRC does not tell of it.


async def is_read(irc_user, nick: str) -> None:
    """Waits until somebody's client has read all that was said. It need not have reached the daemon yet."""
    irc_user.says(nick, "\x01PING 1597\x01")
    await irc_user.notices(Expectation(f"an answer of {nick}", lambda line: (
        line.command == "NOTICE" and line.sender == nick and "1597" in line.parameters[-1])))


def history(**limits: str) -> str:
    """XEP-0045 §7.2.14."""
    return f"<history xmlns='http://jabber.org/protocol/muc' {' '.join(f'{k}={v!r}' for k, v in limits.items())}/>"


@pytest.fixture
async def tybalt(irc):
    """Somebody in the channel #verona."""
    tybalt = await irc.connect("tybalt")
    await tybalt.replied("JOIN #verona", "366")
    return tybalt


async def test_a_channel_is_archived_and_a_restart_changes_nothing(xmpp, transport, tybalt):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    room = f"#verona@{gateway.jid}"
    assert await enters(romeo, room, "romeo") == []
    told = await is_told(tybalt, romeo, room, "1", "2", "3")
    own = romeo.says_in(room, "4")
    echo = await romeo.receives(message("4", sender=f"{room}/romeo"))
    assert echo["id"] == own
    told += [echo.xml.find("{urn:xmpp:sid:0}stanza-id").get("id")] + await is_told(tybalt, romeo, room, "5")

    info = await romeo.asks(room, DISCO_INFO)
    assert {"urn:xmpp:mam:2", "urn:xmpp:mam:2#extended"} <= {feature.get("var") for feature in info}
    archived = await romeo.reads_archive(room, page=2)
    assert [line.body for line in archived] == ["1", "2", "3", "4", "5"]
    assert [line.id for line in archived] == told
    assert {line.sender for line in archived} == {f"{room}/tybalt", f"{room}/romeo"}
    assert [line.body for line in await romeo.reads_archive(room, page=2, reverse=True)][:2] == ["4", "5"]
    assert [line.body for line in await romeo.reads_archive(room, with_jid=f"{room}/romeo")] == ["4"]
    assert await romeo.is_refused(room, "<query xmlns='urn:xmpp:mam:2'><set xmlns='http://jabber.org/protocol/rsm'>"
                                        "<after>nothing</after></set></query>", "set") == "item-not-found"

    romeo.inbox.unread.clear()
    await gateway.restart()
    await romeo.receives(presence(sender=gateway.jid), within=30)
    assert await romeo.reads_archive(room) == archived
    assert await enters(romeo, room, "romeo", history(maxstanzas="2")) == ["4", "5"]
    told += await is_told(tybalt, romeo, room, "6")
    assert [line.id for line in await romeo.reads_archive(room)] == told
    ends = await romeo.asks(room, "<metadata xmlns='urn:xmpp:mam:2'/>")
    assert [end.get("id") for end in ends] == [told[0], told[-1]]


async def test_archives_have_limits_and_can_be_switched_off(xmpp, transport, tybalt):
    gateway = await transport("irc", service__archive_size=3)
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    room = f"#verona@{gateway.jid}"
    await enters(romeo, room, "romeo")
    await is_told(tybalt, romeo, room, "1", "2", "3", "4", "5")
    assert [line.body for line in await romeo.reads_archive(room)] == ["3", "4", "5"]

    gateway.options["service.archive_size"] = 0
    gateway.write()
    romeo.inbox.unread.clear()
    await gateway.restart()
    await romeo.receives(presence(sender=gateway.jid), within=30)
    assert await romeo.is_refused(room, "<query xmlns='urn:xmpp:mam:2'/>", "set") == "service-unavailable"
    info = await romeo.asks(room, DISCO_INFO)
    assert "urn:xmpp:mam:2" not in {feature.get("var") for feature in info}
    assert await enters(romeo, room, "romeo") == []


async def test_two_users_have_two_archives(xmpp, transport, tybalt):
    gateway = await transport("irc")
    room = f"#verona@{gateway.jid}"
    romeo, juliet = await xmpp.login("romeo"), await xmpp.login("juliet")
    await romeo.logs_in(gateway.jid, username="romeo")
    await juliet.logs_in(gateway.jid, username="juliet")
    await enters(romeo, room, "romeo")
    told = await is_told(tybalt, romeo, room, "to Romeo")
    assert await juliet.reads_archive(room) == []
    by_id = (f"<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>"
             f"<value>urn:xmpp:mam:2</value></field><field var='ids'><value>{told[0]}</value></field></x></query>")
    assert await juliet.is_refused(room, by_id, "set") == "item-not-found"
    await enters(juliet, room, "juliet")
    await is_told(tybalt, juliet, room, "to both")
    await romeo.receives(message("to both", sender=f"{room}/tybalt"))
    assert [line.body for line in await romeo.reads_archive(room)] == ["to Romeo", "to both"]
    assert [line.body for line in await juliet.reads_archive(room)] == ["to both"]

    await romeo.unregisters(gateway.jid)
    await romeo.registers(gateway.jid, username="romeo")
    assert await romeo.reads_archive(room) == []
    assert [line.body for line in await juliet.reads_archive(room)] == ["to both"]


async def test_a_network_that_repeats_itself_is_archived_once(xmpp, transport, network):
    gateway = await transport("xmpp", service__protocol="prpl-jabber", service__users_per_backend=1)
    romeo = await xmpp.login("romeo")
    nurse = await network.login("nurse")
    await network.login("romeo", online=False)
    there = f"padua@conference.{network.domain}"
    room = f"padua\\40conference.{network.domain}@{gateway.jid}"
    nurse.joins(there, "nurse")
    await nurse.receives(presence(sender=f"{there}/nurse", where=lambda stanza: "110" in codes(stanza)))
    await nurse.asks(there, "<query xmlns='http://jabber.org/protocol/muc#owner'>"
                            "<x xmlns='jabber:x:data' type='submit'/></query>", "set")
    nurse.says_in(there, "before")
    await nurse.receives(message("before", sender=f"{there}/nurse"))
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")

    assert await enters(romeo, room, "Romeo") == ["before"]
    nurse.says_in(there, "one")
    await romeo.receives(message("one", sender=f"{room}/nurse"))
    romeo.says_in(room, "two")
    await romeo.receives(message("two", sender=f"{room}/Romeo"))
    archived = await romeo.reads_archive(room)
    assert [line.body for line in archived] == ["before", "one", "two"]

    romeo.leaves(room, "Romeo")
    await nurse.receives(presence("unavailable", sender=f"{there}/Romeo"))
    nurse.says_in(there, "missed")
    await nurse.receives(message("missed", sender=f"{there}/nurse"))
    assert await enters(romeo, room, "Romeo") == ["before", "one", "two", "missed"]
    known = await romeo.reads_archive(room)
    assert [line.body for line in known] == ["before", "one", "two", "missed"]
    assert known[:3] == archived

    # The connection breaks; the network tells its history for another time, and nobody hears it twice.
    romeo.inbox.unread.clear()
    os.kill(await gateway.backend_of_one(), signal.SIGSEGV)
    await nurse.receives(presence("unavailable", sender=f"{there}/Romeo"), within=30)
    nurse.says_in(there, "while away")
    await nurse.receives(presence(sender=f"{there}/Romeo"), within=30)
    nurse.says_in(there, "after")
    await romeo.receives(message("after", sender=f"{room}/nurse"), within=30)
    await romeo.receives(message("while away", sender=f"{room}/nurse"))
    texts = ["before", "one", "two", "missed", "while away", "after"]
    for text in texts:
        romeo.has_not_received(message(text, sender=f"{room}/nurse"))
    assert [line.body for line in await romeo.reads_archive(room)] == texts


async def goes_away(xmpp, gateway, tybalt) -> str:
    """Romeo hears something in a room, and goes without leaving it; returns the room."""
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    room = f"#verona@{gateway.jid}"
    await enters(romeo, room, "romeo")
    await is_told(tybalt, romeo, room, "heard")
    await romeo.disconnects()
    await is_away(tybalt, "romeo")
    return room


async def comes_back(xmpp, room: str, tybalt) -> tuple:
    """Romeo comes back when all that Tybalt has said is there; returns him and what was said before."""
    tybalt.says("romeo", "A word with you")
    romeo = await xmpp.login("romeo")
    # The last of what was said meanwhile.
    await romeo.receives(message("A word with you"))
    return romeo, await enters(romeo, room, "romeo")


@pytest.mark.parametrize("size", [10000, 0])
async def test_who_stays_connected_misses_nothing(xmpp, transport, tybalt, size):
    gateway = await transport("irc", settings__stay_connected=1, service__archive_size=size)
    room = await goes_away(xmpp, gateway, tybalt)

    lines = [f"missed {n}" for n in range(25)]
    for line in lines:
        tybalt.says("#verona", line)
    romeo, past = await comes_back(xmpp, room, tybalt)
    assert past[-25:] == lines and past[:-25] in ([], ["heard"])
    assert await enters(romeo, room, "romeo", history(maxstanzas="0")) == []
    await is_told(tybalt, romeo, room, "live")


async def test_who_stays_connected_is_in_his_rooms_after_a_restart(xmpp, transport, tybalt):
    gateway = await transport("irc", settings__stay_connected=1)
    room = await goes_away(xmpp, gateway, tybalt)
    before = [f"before {n}" for n in range(15)]
    for line in before:
        tybalt.says("#verona", line)
    await is_read(tybalt, "romeo")

    tybalt.inbox.unread.clear()
    await gateway.restart()
    await tybalt.notices(Expectation(
        "romeo in the channel", lambda line: line.command == "JOIN" and line.sender == "romeo"), 30)
    after = [f"after {n}" for n in range(15)]
    for line in after:
        tybalt.says("#verona", line)
    romeo, past = await comes_back(xmpp, room, tybalt)
    assert past[-30:] == before + after
    await is_told(tybalt, romeo, room, "live")
