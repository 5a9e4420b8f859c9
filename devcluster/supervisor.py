"""The process that owns the components of one plane: `python supervisor.py FOLDER OWNER SOCKET`.

It starts and stops components when its owner asks over a socket pair and does nothing by itself but notice:
a component that ends takes the others with it; an owner that ends, for whatever reason, takes the plane with
it, unless it has detached before. The kernel kills the components when this process dies, even by SIGKILL.
One thread only: the kernel ties that promise to the thread that started them, not to the process.
"""

import contextlib
import ctypes
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Short, because nothing they would still write is kept, and an API server waits up to a minute for its
# watchers to leave: a test that stops it must not.
_GRACE_SECONDS = 1.0
_TAIL_LINES = 20
# What must not reach the components: they would talk to the caller's cluster or read the caller's settings.
_HIDDEN = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT")


class Supervisor:
    """One plane's components and the only process that ever signals them."""

    def __init__(self, directory: Path, *, owner: int, channel: socket.socket) -> None:
        self._directory = directory
        self._commands: dict[str, list[str]] = json.loads((directory / "plane.json").read_text())["commands"]
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._failure: dict[str, str] = {}
        self._leaving = False
        self._channel: socket.socket | None = channel
        self._selector = selectors.DefaultSelector()
        self._selector.register(channel, selectors.EVENT_READ, self._hear)
        self._watch_signals()
        self._watch_owner(owner)

    def run(self) -> int:
        """Serve until told to leave; 1 if a component ended by itself."""
        try:
            while not self._leaving:
                for key, _ in self._selector.select():
                    key.data()
                self._notice_ends()
        finally:
            self._stop_all()
        # Nobody starts a plane from old data, and its files are large.
        shutil.rmtree(self._directory / "etcd", ignore_errors=True)
        _log("all components are stopped")
        return 1 if self._failure else 0

    def _watch_signals(self) -> None:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._wakeup = (reader, writer)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._selector.register(reader, selectors.EVENT_READ, self._on_signal)

    def _on_signal(self) -> None:
        numbers = set(self._wakeup[0].recv(4096)) - {signal.SIGCHLD}
        if numbers:
            _log(f"signal {', '.join(map(str, sorted(numbers)))}: stopping")
            self._leaving = True

    def _watch_owner(self, owner: int) -> None:
        # A child that the owner forked without exec may hold the socket open; the process itself cannot be
        # held, so watch that as well.
        self._owner = os.pidfd_open(owner)
        self._selector.register(self._owner, selectors.EVENT_READ, self._on_owner_end)
        if os.getppid() != owner:
            self._on_owner_end()

    def _on_owner_end(self) -> None:
        _log("the owner is gone: stopping")
        self._leaving = True

    def _hear(self) -> None:
        """Do what the owner asks, one message at a time; silence for good means that the owner is gone."""
        assert self._channel is not None
        try:
            message = self._channel.recv(65536)
        except ConnectionError:
            message = b""
        if not message:
            self._on_owner_end()
            return
        request = json.loads(message)
        try:
            answer = self._failure or self._obey(request["do"], component=request["component"])
        except (OSError, KeyError) as error:
            answer = {"error": f"{request['component']} cannot {request['do']}: {error}"}
            answer["component"] = request["component"]
        self._answer(answer)
        if request["do"] == "detach" and not answer:
            self._forget_owner()

    def _answer(self, answer: dict[str, str]) -> None:
        assert self._channel is not None
        with contextlib.suppress(ConnectionError):  # the next read says that the owner is gone
            self._channel.send(json.dumps(answer).encode())

    def _obey(self, request: str, *, component: str) -> dict[str, str]:
        match request:
            case "start":
                self._start(component)
            case "stop":
                self._stop(component)
            case "pause":
                self._children[component].send_signal(signal.SIGSTOP)
            case "resume":
                self._children[component].send_signal(signal.SIGCONT)
            case "check" | "detach":
                # A component that ended a moment ago may not have been noticed yet.
                self._notice_ends()
        return self._failure

    def _forget_owner(self) -> None:
        assert self._channel is not None
        self._selector.unregister(self._channel)
        self._selector.unregister(self._owner)
        self._channel.close()
        self._channel = None
        _log("detached: running until told to stop")

    def _start(self, component: str) -> None:
        if component in self._children:
            return
        log = self._directory / "logs" / f"{component}.log"
        environment = {key: value for key, value in os.environ.items() if key not in _HIDDEN}
        # KWOK would read the caller's own ~/.kwok otherwise.
        environment["KWOK_WORKDIR"] = str(self._directory / "kwok")
        with log.open("ab") as output:
            self._children[component] = subprocess.Popen(
                self._commands[component],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._directory,
                env=environment,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        _log(f"{component} started, pid {self._children[component].pid}")

    def _stop_all(self) -> None:
        # Whoever looks from now on finds a plane that is ending, not one that runs.
        (self._directory / "ending").touch()
        self._stop(*self._children)

    def _stop(self, *components: str) -> None:
        """End these components together: politely first, then by SIGKILL."""
        ending = {name: self._children.pop(name) for name in components if name in self._children}
        for child in ending.values():
            # A paused process would not see the request.
            _signal_group(child, signal.SIGCONT)
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and any(child.poll() is None for child in ending.values()):
            time.sleep(0.02)
        for name, child in ending.items():
            if child.poll() is None:
                _log(f"{name} did not stop within {_GRACE_SECONDS:.0f} s: killed")
                _signal_group(child, signal.SIGKILL)
            _log(f"{name} stopped, exit code {child.wait()}")

    def _notice_ends(self) -> None:
        for name, child in list(self._children.items()):
            code = child.poll()
            if code is None or self._failure:
                continue
            del self._children[name]
            log = self._directory / "logs" / f"{name}.log"
            message = f"{name} ended by itself {_how(code)}; log: {log}{_tail(log)}"
            self._failure = {"error": message, "component": name}
            _log(f"{message}\nstopping the other components")
            self._stop_all()
            # With an owner to tell, wait for its next message; without one, there is nothing left to do.
            self._leaving = self._leaving or self._channel is None


def _die_with(parent: int) -> Callable[[], None]:
    """What a child does before it becomes a component: ask the kernel to be killed with its parent."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # it died in between, and the kernel will not tell
            os._exit(1)

    return ask


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    # Only for a child that is not reaped yet: until then its number cannot mean another process.
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


def _how(code: int) -> str:
    return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def _tail(log: Path) -> str:
    """The last lines of a log, each on a line of its own."""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "".join(f"\n  | {line[:300]}" for line in lines)


def _log(message: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}", flush=True)


def main() -> int:
    """Entry point; the arguments are positional because only `devcluster.supervised` calls it."""
    directory, owner, descriptor = sys.argv[1:]
    channel = socket.socket(fileno=int(descriptor))
    # The components must not hold the owner's socket: its end would go unnoticed.
    os.set_inheritable(channel.fileno(), False)
    return Supervisor(Path(directory), owner=int(owner), channel=channel).run()


if __name__ == "__main__":
    sys.exit(main())
