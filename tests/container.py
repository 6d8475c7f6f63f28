#!/usr/bin/python3
"""A throw-away Debian 12 with systemd as PID 1, in which the scenarios run.

    tests/container.py [--install COMMAND] COMMAND [ARGUMENT…]

boots the container, runs COMMAND in it as root and ends with COMMAND's exit status; `bash` gives a shell to look
around. The container has a network of its own with nothing but loopback, and sees this directory, read-only, as
/tests. `--install` names the shell command that puts the programs under test into the root directory $DESTDIR
before the boot.

What it guarantees:
* The base system is built once for each list of packages, and never written to: what a run changes lies in memory.
* Nothing is left behind, however a run ends. All mounts and processes live in namespaces of this program's own, and
  the kernel ends them with it.
"""

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = """
    systemd systemd-sysv dbus polkitd libnss-systemd
    ca-certificates iproute2 openssl procps sqlite3
    libpurple0 ngircd
    prosody prosody-modules lua-sec
    ejabberd
    dnsmasq-base finch profanity tmux
    python3-pytest python3-pytest-asyncio python3-pytest-timeout
    python3-slixmpp python3-slixmpp-lib
    python3-prometheus-client
""".split()

CACHE = Path(os.environ.get("SPECTRUM2_TEST_CACHE", "/var/cache/spectrum2-tests"))
TESTS = Path(__file__).resolve().parent
BOOT_SECONDS = 120
FORGET_SECONDS = 3 * 24 * 3600
"""A base system that nobody has used for so long is removed."""


class Missing(Exception):
    """Something that the machine lacks, in one sentence that says what to do."""


def base_system() -> Path:
    """The directory of the base system for PACKAGES, built now if this is the first time."""
    key = hashlib.sha256(" ".join(sorted(PACKAGES)).encode()).hexdigest()[:16]
    base = CACHE / f"base-{key}"
    if base.is_dir():
        os.utime(base)
        return base
    print("Building the base system of the test container, about a minute, once.", file=sys.stderr, flush=True)
    # Another branch may have another list.
    for former in CACHE.glob("base-*"):
        if time.time() - former.stat().st_mtime > FORGET_SECONDS:
            shutil.rmtree(former)
    unfinished = CACHE / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    built = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", unfinished],
        stdin=subprocess.DEVNULL, stdout=sys.stderr,
    )
    if built.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise Missing("The base system of the test container cannot be built; Debian's packages must be reachable once "
                      "(mmdebstrap's own words are above).")
    unfinished.rename(base)
    return base


def in_own_namespaces() -> int:
    """Runs this program again where its mounts are its own and its processes end with it; returns its status."""
    if os.geteuid() != 0:
        raise Missing("The test container needs root; run this as root.")
    for tool in ("mmdebstrap", "systemd-nspawn", "unshare", "nsenter", "setpriv"):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not installed; 'make packages' installs what the tests need.")
    inner = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL",
         "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
         sys.executable, __file__, *sys.argv[1:]],
        env={**os.environ, "SPECTRUM2_TEST_NAMESPACES": "1"},
    )
    # A terminal tells the inner program of Ctrl-C by itself.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: inner.kill())
    status = inner.wait()
    remove_control_groups()
    return status if status >= 0 else 128 - status


class Container:
    """The booted container. Leave its `with` block, and it is gone."""

    def __init__(self, install: str | None):
        self.install = install
        self.nspawn: subprocess.Popen | None = None
        self.leader: int | None = None

    def __enter__(self) -> "Container":
        # nspawn names control groups after nothing but our own, so two containers at once would share them.
        CACHE.mkdir(parents=True, exist_ok=True)
        self.turn = open(CACHE / "turn", "w")
        try:
            fcntl.flock(self.turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another run to leave the test container.", file=sys.stderr, flush=True)
            fcntl.flock(self.turn, fcntl.LOCK_EX)
        # One place for every run: the mount is seen in this program's own mount namespace only.
        self.work = CACHE / "mount"
        self.work.mkdir(exist_ok=True)
        try:
            self._lay_out()
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception) -> None:
        if self.leader is not None:
            os.kill(self.leader, signal.SIGKILL)
        elif self.nspawn is not None:
            self.nspawn.kill()
        if self.nspawn is not None:
            self.nspawn.wait()
        for mount in (self.work / "root", self.work, "/run"):
            subprocess.run(["umount", "--lazy", mount], stderr=subprocess.DEVNULL)
        self.turn.close()

    def _lay_out(self) -> None:
        """An overlay on memory above the base system, with what is to be tested in it."""
        base = base_system()
        # nspawn keeps notes in /run, and would leave them there.
        run(["mount", "-t", "tmpfs", "-o", "mode=0755", "spectrum2-tests", "/run"])
        run(["mount", "-t", "tmpfs", "-o", "mode=0755", "spectrum2-tests", self.work])
        for part in ("root", "upper", "scratch"):
            (self.work / part).mkdir()
        self.root = self.work / "root"
        run(["mount", "-t", "overlay", "-o",
             f"lowerdir={base},upperdir={self.work / 'upper'},workdir={self.work / 'scratch'}",
             "spectrum2-tests", self.root])
        if self.install:
            run(["sh", "-c", self.install], env={**os.environ, "DESTDIR": str(self.root)})
        run([*self._nspawn(), "--pipe", "--", "sh", "/tests/servers/setup.sh"])

    def _nspawn(self) -> list[str]:
        return ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--directory", str(self.root),
                "--machine=verona", "--private-network", f"--bind-ro={TESTS}:/tests"]

    def _boot(self) -> None:
        # nspawn tells of the end of the boot, and of the container's first process, as a service tells systemd.
        notify = self.work / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(notify))
            listener.settimeout(BOOT_SECONDS)
            self.nspawn = subprocess.Popen(
                [*self._nspawn(), "--boot", "--notify-ready=yes", "--console=read-only"],
                env={**os.environ, "NOTIFY_SOCKET": str(notify)},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            )
            said = ""
            while "READY=1" not in said.splitlines():
                try:
                    said = listener.recv(4096).decode()
                except TimeoutError:
                    self._explain()
                    raise Missing(f"The test container did not finish its boot within {BOOT_SECONDS} s; "
                                  "the end of its journal is above.") from None
                if leader := re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", said, re.MULTILINE):
                    self.leader = int(leader[1])

    def _explain(self) -> None:
        for journal in (["journalctl", "--no-pager", "--lines=60"], ["systemctl", "list-jobs", "--no-pager"]):
            if self.leader is not None:
                self.run(journal)

    def run(self, command: list[str]) -> int:
        """Runs `command` in the container as root and returns its exit status."""
        assert self.leader is not None
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                       "LANG": "C.UTF-8", "TERM": os.environ.get("TERM", "dumb"), "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid",
                               "--cgroup", "--root", "--wd", "--", *command], env=environment).returncode


def remove_control_groups() -> None:
    """Removes the control groups that nspawn made below the one that this program runs in."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, hierarchy, ours = line.split(":", 2)
        if hierarchy not in ("", "name=systemd"):
            continue
        for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"):
            for made in ("payload", "supervisor"):
                remove_empty(Path(mount, ours.lstrip("/"), made))


def remove_empty(top: Path) -> None:
    """Removes a control group and those below it; waits a moment for processes that are being killed."""
    for _ in range(20):
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                pass
        if not top.exists():
            return
        time.sleep(0.1)


def run(command: list, **options) -> None:
    """Runs `command` on this machine; what it prints goes to standard error."""
    done = subprocess.run(command, stdout=sys.stderr, stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise Missing(f"'{' '.join(map(str, command))}' ended with status {done.returncode}; its own words are above.")


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs a command in a throw-away Debian with systemd.")
    parser.add_argument("--install", help="shell command that installs the programs under test into $DESTDIR")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if not arguments.command:
        parser.error("name the command to run, for example: bash")
    try:
        if "SPECTRUM2_TEST_NAMESPACES" not in os.environ:
            return in_own_namespaces()
        with Container(arguments.install) as container:
            return container.run(arguments.command)
    except Missing as missing:
        print(f"tests/container.py: {missing}", file=sys.stderr)
        return 69
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
