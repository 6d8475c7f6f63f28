"""The stage itself: servers and people, without any transport. When this fails, look no further."""

from conversation import message, presence


async def test_two_people_talk_at_the_same_xmpp_server(xmpp):
    romeo = await xmpp.login("romeo")
    juliet = await xmpp.login("juliet")

    romeo.says(juliet.jid, "O, speak again, bright angel! ☼")
    await juliet.receives(message("O, speak again, bright angel! ☼", sender=romeo.jid))

    romeo.subscribes_to(juliet.jid)
    await juliet.receives(presence("subscribe", sender=romeo.jid))
    juliet.accepts(romeo.jid)
    await romeo.receives(presence(sender=juliet.jid))


async def test_an_account_is_fresh_in_every_scenario(xmpp):
    romeo = await xmpp.login("romeo")
    roster = await romeo.asks(romeo.jid, "<query xmlns='jabber:iq:roster'/>")
    assert len(roster) == 0


async def test_two_people_talk_on_irc(irc):
    nurse = await irc.connect("nurse")
    peter = await irc.connect("peter")

    nurse.says("peter", "My fan, Peter. ☂")
    await peter.hears("My fan, Peter. ☂", by="nurse")
    assert await nurse.sees("peter")
    assert not await nurse.sees("tybalt")
