"""Metrics: what Prometheus reads is well-formed and true, and reading it does nothing else."""

import asyncio
import subprocess

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from admin import until
from transport import systemctl

# Metrics do not care which server it is.
pytestmark = pytest.mark.prosody

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n"


def socket_of(transport) -> str:
    """Where the metrics of a transport are."""
    return f"/run/spectrum2-metrics/{transport.name}.sock"


class Numbers(dict):
    """What a scrape gave: samples by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        """One sample."""
        return self[name, frozenset(labels.items())]


async def scrape(open_connection) -> Numbers:
    """Reads the metrics as Prometheus does, with its own parser."""
    reader, writer = await open_connection
    writer.write(REQUEST)
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    assert head.startswith("HTTP/1.1 200 OK\r\n"), head
    assert "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8" in head.split("\r\n"), head
    return Numbers({(sample.name, frozenset(sample.labels.items())): sample.value
                    for family in text_string_to_metric_families(body) for sample in family.samples})


async def numbers_of(transport) -> Numbers:
    """Reads the metrics of a transport at its socket."""
    return await scrape(asyncio.open_unix_connection(socket_of(transport)))


async def test_what_is_read_is_well_formed_and_true(transport, xmpp, irc):
    vhost = f"xmpp.{xmpp.domain}"
    gateway = await transport("irc", vhosts__vhost=[vhost])
    before = await numbers_of(gateway)
    for jid in (gateway.jid, vhost):
        assert before.of("spectrum2_xmpp_up", transport=jid) == 1
        assert before.of("spectrum2_sessions", transport=jid, state="online") == 0
    assert before.of("spectrum2_build_info", version="3.0.0") == 1
    assert before.of("process_resident_memory_bytes") > 1_000_000

    romeo, nurse = await xmpp.login("romeo"), await irc.connect("nurse")
    await romeo.logs_in(vhost, username="romeo")
    await nurse.gets_sight_of("romeo")
    romeo.says(f"nurse@{vhost}", "Good morrow, nurse")
    await nurse.hears("Good morrow, nurse", by="romeo")

    async def told() -> Numbers | None:
        numbers = await numbers_of(gateway)
        return numbers if numbers.of("spectrum2_delivery_seconds_count", transport=vhost) == 1 else None
    after = await until(told, "the delivery is counted")
    assert after.of("spectrum2_messages_total", transport=vhost, to="network") == 1
    assert after.of("spectrum2_registered_users", transport=vhost) == 1
    assert after.of("spectrum2_sessions", transport=vhost, state="online") == 1
    assert after.of("spectrum2_login_seconds_count", transport=vhost) == 1
    assert 0 < after.of("spectrum2_login_seconds_sum", transport=vhost) < 30
    assert sum(after.of("spectrum2_backends", transport=vhost, state=state)
               for state in ("ready", "starting", "single", "retired")) >= 1
    assert after.of("spectrum2_messages_total", transport=gateway.jid, to="network") == 0
    assert not [labels for _, labels in after if "romeo" in str(labels)], "a user is named"


async def test_reading_starts_nothing_and_a_stop_leaves_nothing(transport):
    gateway = await transport("irc")
    # More than are served at a time: the rest waits in the queue of the socket when the transport stops.
    waiting = [await asyncio.open_unix_connection(socket_of(gateway)) for _ in range(20)]
    # systemd stops a socket after its service; a systemctl that looks in between warns of the socket.
    await gateway.stop()
    with pytest.raises((FileNotFoundError, ConnectionRefusedError)):
        await asyncio.open_unix_connection(socket_of(gateway))
    for _, writer in waiting:
        writer.close()
    await gateway.unit_is("spectrum2-metrics@irc.socket", "inactive")
    assert gateway.property("ActiveState") == "inactive"
    assert gateway.property("NRestarts") == "0"
    assert gateway.journal().count("serves irc.prosody.test") == 1

    await gateway.start()
    assert (await numbers_of(gateway)).of("spectrum2_xmpp_up", transport=gateway.jid) == 1


async def test_after_a_crash_and_after_a_restart_they_are_there_again(transport):
    gateway = await transport("irc")
    before = await numbers_of(gateway)
    await gateway.restart()
    restarted = await numbers_of(gateway)
    assert restarted.of("process_start_time_seconds") > before.of("process_start_time_seconds")
    status, output = await systemctl("kill", "--signal=KILL", gateway.unit)
    assert status == 0, output
    await gateway.property_is("NRestarts", "1")
    await gateway.unit_is(gateway.unit, "active")
    assert (await numbers_of(gateway)).of("process_start_time_seconds") > restarted.of("process_start_time_seconds")


async def test_only_their_group_may_read_them(transport):
    gateway = await transport("irc")

    def reads(*who: str) -> bool:
        connect = f"import socket; socket.socket(socket.AF_UNIX).connect('{socket_of(gateway)}')"
        return subprocess.run(["setpriv", "--reuid=nobody", "--regid=nogroup", *who, "python3", "-c", connect],
                              stderr=subprocess.DEVNULL).returncode == 0
    assert not reads("--clear-groups")
    assert reads("--groups=spectrum-metrics")


async def test_a_socket_that_cannot_be_had_costs_the_metrics_only(transport):
    gateway = transport.prepared("irc")
    await systemctl("mask", "--runtime", "spectrum2-metrics@irc.socket")
    try:
        await gateway.start()
        await gateway.says_of_itself("connected to")
        assert gateway.property("ActiveState") == "active"
    finally:
        await gateway.stop()
        await systemctl("unmask", "--runtime", "spectrum2-metrics@irc.socket")


async def test_they_can_be_had_at_a_port_of_the_loopback(transport):
    gateway = await transport("irc", metrics__listen="127.0.0.1:9797")
    numbers = await scrape(asyncio.open_connection("127.0.0.1", 9797))
    assert numbers.of("spectrum2_xmpp_up", transport=gateway.jid) == 1
