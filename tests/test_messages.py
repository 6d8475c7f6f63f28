"""Messages both ways, whole, in order, and never lost in silence."""

import pytest

from conversation import befriend, message, presence

SPEECHES = [
    "Good morrow, cousin.",
    "Είναι ο ήλιος ☀ — ещё рано? 早上好 🌹",
    "O <b>bright</b> angel & \"so\" on; 100% 'true'",
]
LONG = "".join(f"{n:04} parting is such sweet sorrow " for n in range(128))[:4000].strip()


def chat_state(name):
    """The element that stands for a chat state."""
    return f"<{name} xmlns='http://jabber.org/protocol/chatstates'/>"


def has_chat_state(name):
    """Whether a message has the chat state."""
    return lambda stanza: stanza.xml.find(f"{{http://jabber.org/protocol/chatstates}}{name}") is not None


@pytest.fixture
async def friends(xmpp, transport, network):
    """Romeo, and the nurse on the XMPP network behind prpl-jabber, whom he has as a contact."""
    gateway = await transport("xmpp", service__protocol="prpl-jabber")
    nurse = await network.login("nurse")
    await befriend(await network.login("romeo"), nurse)
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username=f"romeo@{network.domain}", password="montague")
    romeo.nurse = f"nurse\\40{network.domain}@{gateway.jid}"
    nurse.romeo = f"romeo@{network.domain}"
    await romeo.receives(presence(sender=romeo.nurse))
    return romeo, nurse


@pytest.mark.parametrize("text", SPEECHES)
async def test_irc(xmpp, transport, irc, text):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")

    romeo.says(f"nurse@{gateway.jid}", text)
    await nurse.hears(text, by="romeo")

    nurse.says("romeo", text)
    await romeo.receives(message(text, sender=f"nurse@{gateway.jid}"))


async def test_a_long_message_reaches_irc_whole_in_several_lines(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    nurse = await irc.connect("nurse")
    await romeo.logs_in(gateway.jid, username="romeo")

    romeo.says(f"nurse@{gateway.jid}", LONG)

    heard = ""
    while len(heard.replace(" ", "")) < len(LONG.replace(" ", "")):
        heard += (await nurse.hears_something(by="romeo"))
    assert heard.replace(" ", "") == LONG.replace(" ", "")


@pytest.mark.parametrize("text", [*SPEECHES, "First line\nsecond line", LONG])
async def test_xmpp(friends, text):
    romeo, nurse = friends

    romeo.says(romeo.nurse, text)
    await nurse.receives(message(text, sender=nurse.romeo))

    nurse.says(nurse.romeo, text)
    await romeo.receives(message(text, sender=romeo.nurse))


async def test_a_hundred_messages_keep_their_order(friends):
    romeo, nurse = friends
    for n in range(100):
        romeo.says(romeo.nurse, f"number {n}")
        nurse.says(nurse.romeo, f"number {n}")

    numbers = [f"number {n}" for n in range(100)]
    assert [await nurse.hears_from(nurse.romeo) for _ in numbers] == numbers
    assert [await romeo.hears_from(romeo.nurse) for _ in numbers] == numbers


async def test_typing_is_seen_xep_0085(friends):
    romeo, nurse = friends
    # XEP-0085 §5.1: whoever says so in a message can be told of typing.
    romeo.says(romeo.nurse, "Nurse?", chat_state("active"))
    await nurse.receives(message("Nurse?"))
    nurse.says(nurse.romeo, "Yes?", chat_state("active"))
    await romeo.receives(message("Yes?"))

    nurse.sends_to(nurse.romeo, chat_state("composing"))
    await romeo.receives(message(sender=romeo.nurse, where=has_chat_state("composing")))

    romeo.sends_to(romeo.nurse, chat_state("composing"))
    await nurse.receives(message(sender=nurse.romeo, where=has_chat_state("composing")))


async def test_a_stranger_is_told_to_register(xmpp, transport):
    irc = await transport("irc")
    tybalt = await xmpp.login("tybalt")
    tybalt.says(f"nurse@{irc.jid}", "Where is he?")
    await tybalt.receives(message(sender=f"nurse@{irc.jid}", error="registration-required"))


async def test_who_is_logged_out_is_told_so(xmpp, transport, irc):
    gateway = await transport("irc")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    romeo.goes_offline()
    await gateway.says_of_itself(", 0 users online")

    romeo.says(f"nurse@{gateway.jid}", "Anybody?")
    await romeo.receives(message(sender=f"nurse@{gateway.jid}", error="recipient-unavailable"))


async def test_a_message_right_after_the_login_waits_for_it(xmpp, transport, irc):
    gateway = await transport("irc")
    nurse = await irc.connect("nurse")
    romeo = await xmpp.login("romeo")
    await romeo.logs_in(gateway.jid, username="romeo")
    romeo.goes_offline()
    await nurse.loses_sight_of("romeo")

    romeo.comes_online()
    romeo.says(f"nurse@{gateway.jid}", "In haste!")

    await nurse.hears("In haste!", by="romeo")
