#!/usr/bin/env python3
"""A zygote for tests: what src/zygote.rs says our libpurple backend is, with echo_backend.py in the place of libpurple.

The word "unwell" in the configuration makes it say that it has a problem, "stillborn" makes it die at once. A message
"!kill-zygote" makes the child that gets it kill its zygote.
"""

import array
import os
import selectors
import signal
import socket
import sys

import echo_backend


class Child(echo_backend.Backend):
    def hear(self, user, fields):
        if fields[3] == b"!kill-zygote":
            os.kill(os.getppid(), signal.SIGKILL)
        super().hear(user, fields)


def ending(status):
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"signal {number} ({signal.Signals(number).name})"
    return f"exit {os.WEXITSTATUS(status)}"


def serve(control, connection):
    pid = os.fork()
    if pid == 0:
        control.close()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        try:
            Child(connection).run()
        finally:
            os._exit(0)
    connection.close()
    control.send(f"started {pid}".encode())


def reap(control):
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        control.send(f"ended {pid} {ending(status)}".encode())


def main(config):
    control = socket.socket(fileno=os.dup(0))
    if "stillborn" in config:
        sys.exit(1)
    bell, hammer = socket.socketpair()
    for end in (bell, hammer):
        end.setblocking(False)
    signal.set_wakeup_fd(hammer.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(bell, selectors.EVENT_READ)
    control.send(b"problem The plugin prpl-gone is missing" if "unwell" in config else b"ready")
    while True:
        for key, _ in selector.select():
            if key.fileobj is bell:
                bell.recv(4096)
                reap(control)
                continue
            numbers = array.array("i")
            word, ancillary, _, _ = control.recvmsg(64, socket.CMSG_SPACE(numbers.itemsize))
            if not word:
                return
            # COMPAT(Spectrum 2): log files have the lowest number that is free in their names.
            print("asked to", word.decode(), file=sys.stderr)
            numbers.frombytes(ancillary[0][2])
            serve(control, socket.socket(fileno=numbers[0]))


if __name__ == "__main__":
    if sys.argv[1:] == ["--version"]:
        print("fake_zygote 1.0 (zygote)")
    else:
        assert sys.argv[1] == "--zygote", sys.argv
        with open(sys.argv[2]) as file:
            main(file.read())
