#!/usr/bin/python3
"""`make bench-rooms`: measures big rooms with the gateway benchmark's own XMPP and IRC servers.

One user joins a channel of 5,000 while another pings the gateway: how long the join takes, how long the pings wait, how
much memory stays. Then 1,000 of them leave in a net-split and come back. Then 100 users are in one channel, somebody on
IRC speaks there, and each line goes to each of them.
"""

import argparse
import asyncio
import re
import sys
import tempfile
import time
from pathlib import Path

from bench import TRANSPORT

CROWD = 5_000
SPLIT = 1_000
# What we aim at, of those that are the transport's own; less is better.
AIMS = {"join_s": 2.0, "join_wait_ms": 100, "split_wait_ms": 100, "daemon_mib": 20, "fanout_cpu_us_each": 30}


class Watch:
    """Looks at what the gateway sends, without parsing it: presences, answers to pings, subjects."""

    def __init__(self):
        self.presences, self.subject, self.answers = 0, None, {}

    def feed(self, _, data: bytes) -> None:
        now = time.perf_counter()
        self.presences += data.count(b"<presence ")
        if self.subject is None and b"<subject" in data:
            self.subject = now
        for number in re.findall(rb"\bid=['\"]w(\d+)['\"]", data):
            self.answers[int(number)] = now


async def pings(bench, watch: Watch, sent: dict[int, float]) -> None:
    """Another user's pings, 100 a second, until cancelled."""
    start = len(sent)
    while True:
        number = start = start + 1
        sent[number] = time.perf_counter()
        bench.users.send(1, f"<iq type='get' id='w{number}' from='{bench.users.jid(1)}' to='{bench.cfg.domain}'>"
                            "<ping xmlns='urn:xmpp:ping'/></iq>")
        await asyncio.sleep(0.01)


async def during(bench, watch: Watch, work) -> float:
    """Does some work, and returns how long the slowest ping waited meanwhile, in ms."""
    sent: dict[int, float] = {}
    watch.answers.clear()
    pinging = asyncio.ensure_future(pings(bench, watch, sent))
    await asyncio.sleep(0.2)
    await work
    pinging.cancel()
    await asyncio.sleep(0.5)
    return max(watch.answers.get(number, time.perf_counter()) - at for number, at in sent.items()) * 1_000


async def quiet(watch: Watch, patience: float = 3.0) -> float:
    """Waits until no presences come any more; returns when the last one came."""
    last, count = time.perf_counter(), watch.presences
    while time.perf_counter() - last < patience:
        await asyncio.sleep(0.02)
        if watch.presences != count:
            last, count = time.perf_counter(), watch.presences
    return last


async def big_room(gwbench, bench) -> dict[str, float]:
    """A channel of CROWD occupants, and its net-split."""
    procs = gwbench.procs
    bench.irc.sinks = {f"guest{number}" for number in range(CROWD)}
    await bench.users.login(2, 60)
    await asyncio.sleep(2)
    before, cpu = procs.memory(bench.pids), bench.cpu()
    bench.xmpp.tap = watch = Watch()
    start = time.perf_counter()

    async def join():
        nonlocal start
        start = time.perf_counter()
        bench.users.send(0, f"<presence from='{bench.users.jid(0)}' to='#big@{bench.cfg.domain}/{bench.users.nick(0)}'>"
                            "<x xmlns='http://jabber.org/protocol/muc'/></presence>")
        while watch.subject is None:
            assert time.perf_counter() - start < 60, "the join is not done after a minute"
            await asyncio.sleep(0.01)

    wait = await during(bench, watch, join())
    after = procs.memory(bench.pids)
    figures = {
        "join_s": watch.subject - start, "join_presences": watch.presences, "join_wait_ms": wait,
        "join_cpu_ms": (bench.cpu() - cpu) * 1_000,
        "daemon_mib": (after["main_rss"] - before["main_rss"]) / 1024,
        "all_mib": (after["pss"] - before["pss"]) / 1024,
    }
    connection = next(conn for conn in bench.irc.conns if conn.nick == bench.users.nick(0))
    names = sorted(bench.irc.sinks)[:SPLIT]
    for what, line in (("split", "QUIT :a.bench.invalid b.bench.invalid"), ("rejoin", "JOIN #big")):
        watch.presences = 0

        async def change():
            nonlocal start
            start = time.perf_counter()
            lines = "".join(f":{name}!u@bench.invalid {line}\r\n" for name in names)
            connection.transport.write(lines.encode())
            figures[f"{what}_s"] = await quiet(watch) - start

        figures[f"{what}_wait_ms"] = await during(bench, watch, change())
        figures[f"{what}_presences"] = watch.presences
    watch.presences = 0
    connection.transport.write("".join(
        f":{name}!u@bench.invalid QUIT :a.bench.invalid b.bench.invalid\r\n" for name in names).encode())
    connection.transport.write("".join(f":{name}!u@bench.invalid JOIN #big\r\n" for name in names).encode())
    await quiet(watch)
    figures["healed_presences"] = watch.presences
    bench.xmpp.tap = None
    return figures


async def fan_out(_, bench) -> dict[str, float]:
    """100 users in one channel."""
    figures = await bench.t_fanout()
    return {f"fanout_{name}": value for name, value in figures.items()}


async def measure(gwbench, cfg) -> dict[str, float]:
    """Each part with a gateway of its own."""
    figures: dict[str, float] = {}
    for part in (big_room, fan_out):
        bench = gwbench.Bench(cfg)
        await bench.setup()
        await bench.start()
        try:
            figures |= await part(gwbench, bench)
        finally:
            await bench.stop()
            await bench.xmpp.close()
            await bench.irc.close()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="Measures big rooms.")
    parser.add_argument("benchmark", type=Path, help="directory with gwbench.py")
    parser.add_argument("daemon", type=Path, help="the program spectrum2")
    arguments = parser.parse_args()
    if not (arguments.benchmark / "gwbench.py").is_file():
        print(f"There is no gwbench.py in {arguments.benchmark}; name the directory of the gateway benchmark: "
              "make bench-rooms BENCH=…", file=sys.stderr)
        return 69
    sys.path.insert(0, str(arguments.benchmark))
    import gwbench  # pylint: disable=import-outside-toplevel,import-error
    with tempfile.TemporaryDirectory(prefix="spectrum2-bench-") as directory:
        config = Path(directory, "bench.cfg")
        config.write_text(TRANSPORT.format(directory=directory))
        sys.argv = ["gwbench.py", "fanout", "--domain", "gw.bench.test", "--reg-username", "{nick}",
                    "--start-cmd", f"{arguments.daemon.resolve()} -n {config}",
                    "--reset-cmd", f"rm -rf {directory}/state",
                    "--room", "{room}@{gw}", "--fanout-users", "100"]
        figures = asyncio.run(measure(gwbench, gwbench.arguments()))
    print(f"{'':28}{'now':>12}{'aim':>12}")
    for name, value in figures.items():
        print(f"{name:28}{value:>12.4g}{AIMS.get(name, ''):>12}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
