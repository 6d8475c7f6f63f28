"""Rooms: what is shown of them, in which order, and what is said when the network does not let one in."""

import pytest

from conversation import Expectation, message, presence

MUC_USER = "{http://jabber.org/protocol/muc#user}"


def codes(stanza) -> set[str]:
    """The status codes of an occupant's presence."""
    return {status.get("code") for status in stanza.xml.iter(f"{MUC_USER}status")}


def item(stanza):
    """What the presence says of the occupant."""
    return stanza.xml.find(f"{MUC_USER}x/{MUC_USER}item")


def subject(text: str, room: str) -> Expectation:
    """The subject of a room."""
    return message(sender=room, where=lambda stanza: stanza.xml.find("{jabber:client}subject") is not None
                   and stanza["subject"] == text and stanza.xml.find("{jabber:client}body") is None)


def of_room(person, room: str) -> list:
    """All that came from a room, in order."""
    return [item for item in person.inbox.unread if hasattr(item, "xml") and item["from"].bare == room]


@pytest.fixture
async def verona(xmpp, transport, irc):
    """Romeo on IRC, and Tybalt in the channel #verona, of which he is an operator."""
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    tybalt = await irc.connect("tybalt")
    await tybalt.replied("JOIN #verona", "366")
    tybalt.sends("TOPIC #verona :Streets of Verona – ☀")
    await romeo.logs_in(gateway.jid, username="romeo")
    return romeo, tybalt, f"#verona@{gateway.jid}"


async def enters(person, room: str, nick: str, as_nick: str | None = None):
    """Joins, and waits until it is done; returns the presence that says so."""
    person.joins(room, nick)
    return await person.receives(presence(sender=f"{room}/{as_nick or nick}", where=lambda s: "110" in codes(s)))


async def test_a_join_is_shown_in_the_order_of_the_xep(verona):
    romeo, tybalt, room = verona
    romeo.joins(room, "romeo")
    last = subject("Streets of Verona – ☀", room)
    await romeo.receives(Expectation(last.words, lambda stanza: last.holds(stanza) and romeo.inbox.unread.insert(0, stanza) is None))

    romeo.inbox.unread.append(romeo.inbox.unread.pop(0))
    shown = [(type(stanza).__name__, stanza["from"].resource) for stanza in of_room(romeo, room)]
    assert [nick for kind, nick in shown if kind == "Presence"] == ["tybalt", "romeo"]
    assert shown[-1][0] == "Message"
    first, own = [stanza for stanza in of_room(romeo, room) if type(stanza).__name__ == "Presence"]
    assert (item(first).get("role"), item(first).get("affiliation")) == ("moderator", "admin")
    assert codes(own) == {"110"}


async def test_irc_has_one_nick_and_says_so(verona):
    romeo, _, room = verona
    own = await enters(romeo, room, "Montague", as_nick="romeo")
    assert codes(own) == {"110", "210"}


async def test_people_talk(verona):
    romeo, tybalt, room = verona
    await enters(romeo, room, "romeo")

    sent = romeo.says_in(room, "Peace, Tybalt – ☂")
    await tybalt.hears("Peace, Tybalt – ☂", by="romeo")
    echo = await romeo.receives(message("Peace, Tybalt – ☂", sender=f"{room}/romeo"))
    assert echo["id"] == sent
    tybalt.says("#verona", "Turn thee, Benvolio")
    heard = await romeo.receives(message("Turn thee, Benvolio", sender=f"{room}/tybalt"))
    assert heard.xml.find("{urn:xmpp:sid:0}stanza-id").get("by") == room
    assert heard.xml.find("{urn:xmpp:occupant-id:0}occupant-id") is not None

    romeo.says(f"{room}/tybalt", "A word")
    await tybalt.hears("A word", by="romeo")
    tybalt.says("romeo", "One word?")
    await romeo.receives(message("One word?", sender=f"{room}/tybalt"))

    tybalt.sends("TOPIC #verona :Brawls")
    await romeo.receives(subject("Brawls", room))


async def test_nicks_kicks_and_departures_are_seen(verona, irc):
    romeo, tybalt, room = verona
    await enters(romeo, room, "romeo")
    nurse = await irc.connect("nurse")
    await nurse.replied("JOIN #verona", "366")
    await romeo.receives(presence(sender=f"{room}/nurse"))
    nurse.sends("NICK angelica")
    renamed = await romeo.receives(presence("unavailable", sender=f"{room}/nurse"))
    assert codes(renamed) == {"303"} and item(renamed).get("nick") == "angelica"
    tybalt.sends("KICK #verona angelica :Hence")
    kicked = await romeo.receives(presence("unavailable", sender=f"{room}/angelica"))
    assert codes(kicked) == {"307"}
    assert item(kicked).find(f"{MUC_USER}actor").get("nick") == "tybalt"
    assert item(kicked).find(f"{MUC_USER}reason").text == "Hence"

    romeo.takes_nick(room, "tybalt")
    await romeo.receives(presence("error", sender=f"{room}/tybalt", where=lambda s: s["error"]["condition"] == "conflict"))
    romeo.takes_nick(room, "montague")
    await romeo.receives(presence(sender=f"{room}/montague", where=lambda s: "110" in codes(s)))

    tybalt.sends("KICK #verona montague :Villain")
    own = await romeo.receives(presence("unavailable", sender=f"{room}/montague"))
    assert codes(own) == {"110", "307"}
    romeo.says_in(room, "Why?")
    await romeo.receives(message(sender=room, error="not-acceptable"))


@pytest.mark.parametrize("mode, condition", [
    ("+k rose", "not-authorized"), ("+i", "registration-required"), ("+b romeo!*@*", "forbidden"),
    ("+l 1", "service-unavailable"),
])
async def test_a_refusal_has_the_words_of_the_server(verona, mode, condition):
    romeo, tybalt, room = verona
    tybalt.sends(f"MODE #verona {mode}")
    await tybalt.replied("MODE #verona", "324")
    romeo.joins(room, "romeo")
    refused = await romeo.receives(presence("error", sender=f"{room}/romeo"))
    assert refused["error"]["condition"] == condition
    assert "Cannot join channel" in refused["error"]["text"]


async def test_two_clients_are_one_occupant_and_no_ghost_stays(verona, xmpp):
    romeo, tybalt, room = verona
    await enters(romeo, room, "romeo")
    study = await xmpp.login("romeo", resource="study")
    await enters(study, room, "romeo")
    tybalt.says("#verona", "to both")
    for client in (romeo, study):
        await client.receives(message("to both", sender=f"{room}/tybalt"))
    romeo.leaves(room, "romeo")
    await romeo.receives(presence("unavailable", sender=f"{room}/romeo"))
    tybalt.says("#verona", "to one")
    await study.receives(message("to one", sender=f"{room}/tybalt"))
    romeo.has_not_received(message("to one"))

    await study.disconnects()
    await tybalt.notices(Expectation("a departure", lambda line: line.command == "PART" and line.sender == "romeo"))


async def test_rooms_are_found(verona):
    romeo, _, room = verona
    gateway = room.split("@")[1]
    items = await romeo.asks(gateway, "<query xmlns='http://jabber.org/protocol/disco#items'>"
                                      "<set xmlns='http://jabber.org/protocol/rsm'><max>50</max></set></query>")
    listed = {item.get("jid"): item.get("name") for item in items if item.tag.endswith("}item")}
    assert listed[room] == "Streets of Verona – ☀"
    info = await romeo.asks(room, "<query xmlns='http://jabber.org/protocol/disco#info'/>")
    assert info.find("{http://jabber.org/protocol/disco#info}identity").get("category") == "conference"

    assert await romeo.is_refused(f"{room}/romeo", "<ping xmlns='urn:xmpp:ping'/>") == "not-acceptable"
    await enters(romeo, room, "romeo")
    await romeo.pings(f"{room}/romeo")


async def test_rooms_of_an_xmpp_network(xmpp, transport, network):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    romeo = await xmpp.login("romeo")
    nurse = await network.login("nurse")
    await network.login("romeo", online=False)
    there = f"verona@conference.{network.domain}"
    await enters(nurse, there, "nurse")
    await nurse.asks(there, "<query xmlns='http://jabber.org/protocol/muc#owner'>"
                            "<x xmlns='jabber:x:data' type='submit'/></query>", "set")
    nurse.says_in(there, "before")
    await nurse.receives(message("before", sender=f"{there}/nurse"))
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")

    room = f"verona\\40conference.{network.domain}@{gateway.jid}"
    own = await enters(romeo, room, "Romeo")
    assert codes(own) == {"110"}
    history = await romeo.receives(message("before", sender=f"{room}/nurse"))
    assert history.xml.find("{urn:xmpp:delay}delay") is not None
    await romeo.receives(subject("", room))

    sent = romeo.says_in(room, "Good morrow <all> & sundry")
    await nurse.receives(message("Good morrow <all> & sundry", sender=f"{there}/Romeo"))
    assert (await romeo.receives(message("Good morrow <all> & sundry", sender=f"{room}/Romeo")))["id"] == sent
    nurse.says(f"{there}/Romeo", "hark")
    await romeo.receives(message("hark", sender=f"{room}/nurse"))
    romeo.says(f"{room}/nurse", "I hark")
    await nurse.receives(message("I hark", sender=f"{there}/Romeo"))

    romeo.leaves(room, "Romeo")
    await nurse.receives(presence("unavailable", sender=f"{there}/Romeo"))
    romeo.joins(room, "nurse")
    await romeo.receives(presence("error", sender=f"{room}/nurse", where=lambda s: s["error"]["condition"] == "conflict"))
    await enters(romeo, room, "Romeo")


async def test_who_owns_a_room_of_an_xmpp_network_destroys_it(xmpp, transport, network):
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    romeo = await xmpp.login("romeo")
    nurse = await network.login("nurse")
    await network.login("romeo", online=False)
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    there = f"mantua@conference.{network.domain}"
    room = f"mantua\\40conference.{network.domain}@{gateway.jid}"
    await enters(romeo, room, "Romeo")
    sent = romeo.says_in(room, "Stay not")
    assert (await romeo.receives(message("Stay not", sender=f"{room}/Romeo")))["id"] == sent
    await enters(nurse, there, "nurse")
    await romeo.receives(presence(sender=f"{room}/nurse"))

    await romeo.asks(room, "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy><reason>Plague</reason>"
                           "</destroy></query>", "set")
    for person, seen in ((romeo, f"{room}/Romeo"), (nurse, f"{there}/nurse")):
        left = await person.receives(presence("unavailable", sender=seen))
        assert left.xml.find(f"{MUC_USER}x/{MUC_USER}destroy/{MUC_USER}reason").text == "Plague"
    assert await romeo.is_refused(f"{room}/Romeo", "<ping xmlns='urn:xmpp:ping'/>") == "not-acceptable"
