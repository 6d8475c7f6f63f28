"""What every scenario finds in place: servers, people, transports, and the journal of a scenario that failed."""

import time

import pytest

from conversation import IrcNetwork, XmppServer
from transport import Transport, journal


@pytest.fixture(params=["prosody", "ejabberd"])
async def xmpp(request):
    """The XMPP server whose users the transport serves; a scenario runs once for each."""
    server = XmppServer(request.param)
    yield server
    await server.close()


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    """Has scenarios that are marked so run with Prosody alone."""
    chosen = [mark.args[0] for mark in metafunc.definition.iter_markers("parametrize")]
    has_choice = "xmpp" in metafunc.fixturenames and "xmpp" not in chosen
    if has_choice and metafunc.definition.get_closest_marker("prosody"):
        # The mark, not the call: pytest looks for it before it takes the fixture's own list.
        metafunc.definition.add_marker(pytest.mark.parametrize("xmpp", ["prosody"], indirect=True))


@pytest.fixture
async def network(xmpp):
    """Another XMPP server, which is the legacy network behind prpl-jabber."""
    server = XmppServer("ejabberd" if xmpp.name == "prosody" else "prosody")
    yield server
    await server.close()


@pytest.fixture
async def irc():
    """The IRC network behind prpl-irc."""
    server = IrcNetwork()
    yield server
    await server.close()


@pytest.fixture
async def transport(xmpp):
    """Starts transports at `xmpp`: `await transport("irc")`; they are gone after the scenario."""
    started: list[Transport] = []

    def prepared(name: str, **options: object) -> Transport:
        started.append(Transport(name, xmpp, options))
        return started[-1]

    async def start(name: str, **options: object) -> Transport:
        instance = prepared(name, **options)
        await instance.start()
        return instance

    start.prepared = prepared
    yield start
    for instance in started:
        await instance.remove()


BEGAN = pytest.StashKey[float]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Remembers when the scenario began, its fixtures included."""
    item.stash[BEGAN] = time.time()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows with a failed scenario what the services wrote meanwhile."""
    report = (yield).get_result()
    if report.failed:
        report.sections.append(("journal", journal(since=item.stash[BEGAN])))
