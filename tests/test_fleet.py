"""Many transports at once: what is done to all takes little longer than what is done to one."""

import asyncio

import pytest

from admin import manager, until
from transport import systemctl

NUMBER = 30


@pytest.fixture
async def fleet(transport):
    """Thirty transport files, of which systemd has heard."""
    instances = [transport.prepared(f"t{number}", service__log_level="warn") for number in range(NUMBER)]
    for instance in instances:
        instance.write()
    await systemctl("daemon-reload")
    return instances


@pytest.mark.timeout(300)
@pytest.mark.parametrize("xmpp", ["ejabberd"], indirect=True)  # It takes any component that knows the secret.
async def test_thirty_are_started_shown_reloaded_restarted_and_stopped_by_a_word_each(xmpp, fleet):
    for order, done in (("start", "started"), ("reload", "reloaded"), ("restart", "restarted")):
        given = await manager(f"--timeout 100 {order}")
        assert (given.status, given.err) == (0, ""), given
        assert sorted(given.out.split("\n")[:-1]) == sorted(f"{instance.name}: {done}" for instance in fleet)
        shown = await manager("--json status")
        assert shown.status == 0 and [each["state"] for each in shown.json()] == ["running"] * NUMBER, shown
    # systemd ends a launcher and two sockets with each.
    await asyncio.gather(*(instance.backend_is_up() for instance in fleet))
    stopped = await manager("--timeout 60 stop")
    assert (stopped.status, stopped.out.count(": stopped\n")) == (0, NUMBER), stopped
    assert (await manager("status")).status == 3
    await until(nothing_runs, "all that belongs to them has ended")


async def nothing_runs() -> bool:
    _, units = await systemctl("list-units", "--no-legend", "--plain", "--state=active,activating,deactivating",
                               "spectrum2*@t*")
    return units == ""
