"""Rooms where things go wrong or get big: net-splits of a real network, what the network refuses, joins before logins; and
rooms that the user has on the network already."""

import asyncio
import subprocess

import pytest
import slixmpp

from conversation import Expectation, IrcNetwork, message, presence
from test_rooms_xep_0045 import MUC_USER, codes, enters, item, subject, verona

assert verona

MUC_ADMIN = "http://jabber.org/protocol/muc#admin"
CROWD = 300

FAR = """
[Global]
    Name = far.irc.test
    Info = The far side
    Listen = 127.0.0.7
    Ports = 6667
[Limits]
    ConnectRetry = 5
    MaxConnections = 0
    MaxConnectionsIP = 0
    MaxPenaltyTime = 0
    MaxNickLength = 30
[Options]
    DNS = no
    Ident = no
    PAM = no
[Server]
    Name = irc.test
    Host = 127.0.0.4
    Port = 6667
    MyPassword = far
    PeerPassword = near
"""


@pytest.fixture
async def far(tmp_path, irc):
    """The second server of the IRC network, linked to the first."""
    config = tmp_path / "ngircd.conf"
    config.write_text(FAR)
    process = subprocess.Popen(["ngircd", "-n", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    friar = await irc.connect("friar")
    await friar.replied("OPER friar laurence", "381")
    deadline = asyncio.get_running_loop().time() + 30
    while "far.irc.test" not in " ".join((await friar.replied("LINKS", "364", "365")).parameters):
        assert asyncio.get_running_loop().time() < deadline, "the servers are not linked"
        await asyncio.sleep(0.2)
    network = IrcNetwork("far.irc.test")
    network.friar = friar
    yield network
    await network.close()
    process.terminate()
    process.wait(10)


async def crowd(network: IrcNetwork) -> None:
    """CROWD people on the far side come into #verona, and are not listened to."""
    for number in range(CROWD):
        _, writer = await asyncio.open_connection(network.host, 6667)
        writer.write(f"NICK guest{number}\r\nUSER guest 0 * :guest\r\nJOIN #verona\r\n".encode())
        network.__dict__.setdefault("crowd", []).append(writer)


def guests(person, kind: str) -> set[str]:
    """The guests of whom this kind of presence is unread; it is read then."""
    fits = presence(kind, where=lambda stanza: stanza["from"].resource.startswith("guest"))
    found = set()
    while stanza := person.inbox.take(fits):
        found.add(stanza["from"].resource)
    return found


async def until_all(person, kind: str) -> None:
    """Waits until this kind of presence has come of every guest."""
    seen: set[str] = set()
    deadline = asyncio.get_running_loop().time() + 40
    while len(seen) < CROWD:
        assert asyncio.get_running_loop().time() < deadline, f"only {len(seen)} guests are {kind}"
        await asyncio.sleep(0.1)
        seen |= guests(person, kind)


@pytest.mark.parametrize("xmpp", ["prosody"], indirect=True)
async def test_a_net_split_is_seen_and_healed(verona, far):
    romeo, tybalt, room = verona
    await crowd(far)
    deadline = asyncio.get_running_loop().time() + 30
    while len(set((await names(tybalt)))) < CROWD + 1:
        assert asyncio.get_running_loop().time() < deadline, "not all guests are in the channel"
        await asyncio.sleep(0.3)

    romeo.joins(room, "romeo")
    await romeo.receives(subject("Streets of Verona – ☀", room))
    assert len(guests(romeo, "available")) == CROWD, "all are shown before the subject"

    far.friar.sends("SQUIT far.irc.test :The bridge is down")
    await until_all(romeo, "unavailable")
    tybalt.says("#verona", "Where is everybody?")
    await romeo.receives(message("Where is everybody?", sender=f"{room}/tybalt"))
    await until_all(romeo, "available")
    for writer in far.crowd:
        writer.close()


async def names(person) -> list[str]:
    """Who is in #verona, as the server tells."""
    person.sends("NAMES #verona")
    found: list[str] = []
    while True:
        line = await person.notices(Expectation("a list of names", lambda line: line.command in ("353", "366")))
        if line.command == "366":
            return found
        found += [name.lstrip("@+") for name in line.parameters[-1].split()]


async def test_who_joins_first_is_logged_in(verona, irc):
    romeo, tybalt, room = verona
    gateway = room.split("@")[1]
    romeo.goes_offline()
    await tybalt.loses_sight_of("romeo")
    romeo.joins(room, "romeo")
    own = await romeo.receives(presence(sender=f"{room}/romeo"))
    assert "110" in codes(own)
    await romeo.receives(subject("Streets of Verona – ☀", room))
    romeo.leaves(room, "romeo")
    await tybalt.loses_sight_of("romeo")
    romeo.comes_online()
    await romeo.receives(presence(sender=gateway))


async def test_what_the_network_refuses_is_an_error_to_the_stanza(verona):
    romeo, tybalt, room = verona
    await enters(romeo, room, "romeo")
    tybalt.sends("MODE #verona +mt")
    await tybalt.replied("MODE #verona", "324")
    sent = romeo.says_in(room, "May I?")
    refused = await romeo.receives(message(sender=room, error="forbidden"))
    assert refused["id"] == sent and refused["error"]["text"]
    sent = romeo.says_in(room, subject="Peace")
    refused = await romeo.receives(message(sender=room, error="forbidden"))
    assert refused["id"] == sent
    kick = f"<query xmlns='{MUC_ADMIN}'><item nick='tybalt' role='none'/></query>"
    assert await romeo.is_refused(room, kick, "set") == "forbidden"

    tybalt.sends("MODE #verona +o romeo")
    await romeo.receives(presence(sender=f"{room}/romeo", where=lambda s: item(s).get("role") == "moderator"))
    romeo.says_in(room, subject="Peace")
    await romeo.receives(subject("Peace", room))
    assert await romeo.is_refused(room, kick.replace("tybalt", "paris"), "set") == "not-allowed"
    await romeo.asks(room, kick.replace("/></query>", "><reason>Hence</reason></item></query>"), "set")
    gone = await romeo.receives(presence("unavailable", sender=f"{room}/tybalt"))
    assert codes(gone) == {"307"} and item(gone).find(f"{MUC_USER}reason").text == "Hence"
    romeo.has_not_received(message(sender=room.split("@")[1]))

    tybalt.sends("JOIN #verona")
    await romeo.receives(presence(sender=f"{room}/tybalt"))
    await romeo.asks(room, f"<query xmlns='{MUC_ADMIN}'><item nick='tybalt' affiliation='outcast'/></query>", "set")
    await romeo.receives(presence("unavailable", sender=f"{room}/tybalt"))
    assert (await tybalt.replied("JOIN #verona", "474")).command == "474"
    outcasts = f"<query xmlns='{MUC_ADMIN}'><item affiliation='outcast'/></query>"
    banned, = await romeo.asks(room, outcasts)
    lifted = f"<query xmlns='{MUC_ADMIN}'><item jid='{banned.get('jid')}' affiliation='none'/></query>"
    await romeo.asks(room, lifted, "set")
    assert len(await romeo.asks(room, outcasts)) == 0
    tybalt.sends("JOIN #verona")
    await romeo.receives(presence(sender=f"{room}/tybalt"))
    destroy = "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query>"
    assert await romeo.is_refused(room, destroy, "set") == "not-allowed"


async def test_invitations_go_both_ways(verona, irc):
    romeo, tybalt, room = verona
    gateway = room.split("@")[1]
    await tybalt.replied("JOIN #padua", "366")
    tybalt.sends("INVITE romeo #padua")
    invited = await romeo.receives(message(sender=f"#padua@{gateway}"))
    assert invited.xml.find("{jabber:x:conference}x").get("jid") == f"#padua@{gateway}"
    assert invited.xml.find(f"{MUC_USER}x/{MUC_USER}invite") is not None

    await enters(romeo, f"#mantua@{gateway}", "romeo")
    romeo.sends_to(f"tybalt@{gateway}", f"<x xmlns='jabber:x:conference' jid='#mantua@{gateway}'/>")
    await tybalt.notices(Expectation("an invitation", lambda line: line.command == "INVITE" and "#mantua" in line.parameters))
    nurse = await irc.connect("nurse")
    romeo.sends_to(f"#mantua@{gateway}", f"<x xmlns='http://jabber.org/protocol/muc#user'><invite to='nurse@{gateway}'/></x>")
    await nurse.notices(Expectation("an invitation", lambda line: line.command == "INVITE" and "#mantua" in line.parameters))


@pytest.fixture
async def bookmarked(network):
    """Romeo has a bookmark on the network."""
    romeo = await network.login("romeo")
    await romeo.asks(romeo.jid, "<query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>"
                                f"<conference jid='verona@conference.{network.domain}' name='The streets'/>"
                                "</storage></query>", "set")
    await romeo.disconnects()
    return f"verona\\40conference.{network.domain}"


@pytest.mark.parametrize("xmpp", ["prosody"], indirect=True)
async def test_rooms_on_the_network_become_bookmarks(xmpp, transport, network, bookmarked):
    gateway = await transport("trusted", service__protocol="prpl-jabber")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    wanted = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>"
    deadline = asyncio.get_running_loop().time() + 20
    while True:
        try:
            found = await romeo.asks(romeo.jid, wanted)
            break
        except slixmpp.exceptions.IqError:
            assert asyncio.get_running_loop().time() < deadline, "there are no bookmarks"
            await asyncio.sleep(0.2)
    conference = found.find(".//{urn:xmpp:bookmarks:1}conference")
    assert conference.get("name") == "The streets"
    assert found.find(".//{http://jabber.org/protocol/pubsub}item").get("id") == f"{bookmarked}@{gateway.jid}"


async def test_elsewhere_one_is_invited_to_them(xmpp, transport, network, bookmarked):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    invited = await romeo.receives(message(sender=gateway.jid))
    assert invited.xml.find("{jabber:x:conference}x").get("jid") == f"{bookmarked}@{gateway.jid}"
