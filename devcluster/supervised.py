"""The owner's end of a supervisor: as long as it is open, the plane lives."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

from devcluster import identity, supervisor
from devcluster.errors import ComponentError, DevclusterError

# A supervisor answers at once, except while it waits for a component to stop.
_ANSWER_SECONDS = 30.0
_END_SECONDS = 15.0


class Supervised:
    """A running supervisor and the socket to it. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turn = threading.Lock()
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_ANSWER_SECONDS)
        with theirs, (directory / "logs" / "supervisor.log").open("ab") as log:
            self._process = subprocess.Popen(
                # As a plain file in isolated mode it loads nothing of this package: it stays small.
                [
                    sys.executable,
                    "-I",
                    supervisor.__file__,
                    directory,
                    str(os.getpid()),
                    str(theirs.fileno()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Its own session: a Ctrl-C in the owner's terminal is the owner's to handle.
                start_new_session=True,
                cwd="/",
            )

    def ask(self, request: str, *, component: str = "") -> None:
        """Have the supervisor do something; raises ComponentError if any component ended by itself."""
        with self._turn:
            answer = self._exchange({"do": request, "component": component})
        if answer:
            raise ComponentError(answer["error"], component=answer["component"])

    def detach(self) -> None:
        """Let the plane live on after this process."""
        mark = identity.identify(self._process.pid)
        if mark is not None:
            identity.save(mark, path=self._directory / "supervisor.json")
        self.ask("detach")
        self._channel.close()
        # It is nobody's child to wait for from now on; without this Python would warn about it.
        self._process.returncode = 0

    def close(self) -> None:
        """Stop the plane and wait until nothing of it runs."""
        self.hang_up()
        try:
            self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            # The kernel kills the components with it.
            self._process.kill()
            self._process.wait()

    def hang_up(self) -> None:
        """Make the supervisor stop the plane, without waiting: so several planes can stop at once."""
        self._channel.close()

    def _exchange(self, request: dict[str, str]) -> dict[str, str]:
        log = self._directory / "logs" / "supervisor.log"
        try:
            self._channel.send(json.dumps(request).encode())
            message = self._channel.recv(1 << 20)
        except OSError as error:
            raise DevclusterError(f"the supervisor does not answer ({error}); log: {log}") from error
        if not message:
            raise DevclusterError(f"the supervisor ended; log: {log}")
        answer: dict[str, str] = json.loads(message)
        return answer
