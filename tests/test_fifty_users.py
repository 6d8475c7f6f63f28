"""Fifty people at once: everybody gets in, everybody's words get through."""

import asyncio

from conversation import message


async def test_fifty_users_log_in_and_talk(xmpp, transport, irc):
    gateway = await transport("irc", service__users_per_backend=10)
    nurse = await irc.connect("nurse")
    guests = await xmpp.login_all([f"guest{n}" for n in range(50)])

    await asyncio.gather(*(guest.logs_in(gateway.jid, username=f"guest{n}") for n, guest in enumerate(guests)))
    await gateway.says_of_itself("50 users online")
    assert len(gateway.backends()) >= 5

    for n, guest in enumerate(guests):
        guest.says(f"nurse@{gateway.jid}", f"I am guest {n}")
        nurse.says(f"guest{n}", f"Welcome, guest {n}")
    for n, guest in enumerate(guests):
        await nurse.hears(f"I am guest {n}", by=f"guest{n}")
        await guest.receives(message(f"Welcome, guest {n}", sender=f"nurse@{gateway.jid}"))

    for guest in guests:
        guest.goes_offline()
    await gateway.says_of_itself(", 0 users online")
