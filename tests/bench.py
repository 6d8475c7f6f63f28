#!/usr/bin/python3
"""`make bench`: measures the transport with the gateway benchmark, and prints it beside our aims and Spectrum 2.

The benchmark plays the XMPP server and the IRC server itself, so what it measures is the transport's own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Test and figure of the benchmark, what it is, and Spectrum 2's on the same benchmark with libpurple's prpl-irc
# (10 users, 64-byte bodies), and our aim. Less is better in every line.
FIGURES = [
    ("coldstart", "connected_ms", "start to component connected, ms", 1081, 150),
    ("iq", "disco_info_cpu_us_each", "disco#info, CPU µs each", 81.5, 10),
    ("iq", "ping_cpu_us_each", "ping, CPU µs each", 46.5, 10),
    ("xmpp2irc", "cpu_us_each", "XMPP to IRC, CPU µs a message", 102, 30),
    ("irc2xmpp", "cpu_us_each", "IRC to XMPP, CPU µs a message", 52, 20),
    ("latency", "to_irc_p50_ms", "latency to IRC, median, ms", 530, 1),
    ("latency", "to_xmpp_p50_ms", "latency to XMPP, median, ms", 1.11, 1),
    ("login", "irc_200_s", "200 users log in, s", 4.68, 0.4),
    ("memory", "pss_0_mib", "memory without users, PSS MiB", 109, 25),
    ("memory", "pss_200_mib", "memory with 200 users, PSS MiB", 479, 60),
]

TRANSPORT = """
[service]
jid = gw.bench.test
server = 127.0.0.1
port = 20347
password = secret
protocol = prpl-irc
users_per_backend = 10
working_dir = {directory}/state
pidfile = {directory}/spectrum2.pid

[database]
database = {directory}/state/database.sql

[registration]
username_mask = $username@127.0.0.1

[purple]
port = 20667
ratelimit-interval = 0
ratelimit-burst = 100000
"""


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the gateway benchmark on a transport.")
    parser.add_argument("benchmark", type=Path, help="directory with gwbench.py")
    parser.add_argument("daemon", type=Path, help="the program spectrum2")
    parser.add_argument("--runs", default="1")
    parser.add_argument("tests", nargs="*", default=["coldstart", "idle", "iq", "latency", "xmpp2irc", "irc2xmpp",
                                                     "login", "memory"])
    arguments = parser.parse_args()
    harness = arguments.benchmark / "gwbench.py"
    if not harness.is_file():
        print(f"There is no {harness}; name the directory of the gateway benchmark: make bench BENCH=…", file=sys.stderr)
        return 69
    with tempfile.TemporaryDirectory(prefix="spectrum2-bench-") as directory:
        config, results = Path(directory, "bench.cfg"), Path(directory, "results.json")
        config.write_text(TRANSPORT.format(directory=directory))
        ran = subprocess.run([
            sys.executable, harness, *arguments.tests, "--title", "this tree", "--domain", "gw.bench.test",
            "--start-cmd", f"{arguments.daemon.resolve()} -n {config}", "--reset-cmd", f"rm -rf {directory}/state",
            "--reg-username", "{nick}", "--runs", arguments.runs, "--json", results,
        ])
        if not results.exists():
            return ran.returncode or 1
        medians = json.loads(results.read_text())["medians"]
    print(f"\n{'':40}{'now':>12}{'aim':>12}{'Spectrum 2':>12}")
    for test, name, what, spectrum, aim in FIGURES:
        now = medians.get(test, {}).get(name)
        print(f"{what:40}{'-' if now is None else f'{now:.4g}':>12}{aim:>12}{spectrum:>12}")
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())
