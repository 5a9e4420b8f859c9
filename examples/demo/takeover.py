"""The second act: the company that runs a cluster is taken over. What that makes illegal leaves by itself, the rest
stays."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from devcluster import Plane, kubectl_path
from examples.demo.expect import AFTER_TAKEOVER, MOVES, POLL_SECONDS, wait_for_all
from examples.demo.screen import Screen
from examples.demo.stage import PROGRAM, DemoError, Operator, Stage

TAKEN_OVER: Final = "nordlys"
TAKEOVER: Final = """\
spec:
  ownership:
    owners:
      - {name: Big Cloud Inc, kind: company, country: US, capitalPercent: 100, votesPercent: 100, specialRights: []}
  control:
    controllers: [{name: Big Cloud Inc, kind: company, country: US, means: [votes]}]
  foreignLaws:
    - {country: US, vulnerabilityReporting: false, independentSources: ["opinion of counsel, 2026-11"]}
  safeguards: {delivery: true, dataAccess: true, disruption: true, sanctions: true}
"""
"""Safeguards that are documented suffice for tier 2, so that only what is at tier 3 has to leave."""

COMPLIANT: Final = '{.status.conditions[?(@.type=="Compliant")].'
WATCHED: Final = (
    '{"TIER "}{.status.tier}{"  "}{.status.cluster}{"/"}{.status.nodePool}'
    f'{{"  Compliant="}}{COMPLIANT}status}}{{"  "}}{COMPLIANT}message}}{{"\\n"}}'
)
EVENTS: Final = "TYPE:.type,REASON:.reason,NOTE:.message"
ENDED: Final = "ViolationResolved"
EVENT_SECONDS: Final = 5.0


def play(stage: Stage, operator: Operator, screen: Screen) -> None:
    """Change one fact and show everything that follows from it."""
    namespace, name = MOVES.namespace, MOVES.name
    screen.heading(
        f"Big Cloud Inc buys {TAKEN_OVER}, and promises safeguards. Enough for tier 2, not for tier {MOVES.tier}."
    )
    screen.show(f"$ kubectl patch legalentity {TAKEN_OVER} --type merge --patch-file takeover.yaml\n{TAKEOVER}")
    title = f"{TAKEN_OVER} has another owner; {namespace}/{name} runs elsewhere"
    with watching(stage.hub) as seen, screen.step(title) as progress:
        stage.hub.kubectl("patch", "legalentity", TAKEN_OVER, "--type", "merge", "-p", TAKEOVER)
        wait_for_all(stage, operator, progress, expected=AFTER_TAKEOVER)
    screen.heading(
        f"$ kubectl get infd {name} -n {namespace} --watch    # seconds since the patch; condition Compliant"
    )
    for line in seen:
        screen.show(line)
    show_events(stage, screen)
    show_records(stage, screen)


@contextmanager
def watching(hub: Plane) -> Iterator[list[str]]:
    """What a watch of the workload says until the end of the block, each line once, with the seconds since the start of
    the block; complete once the block has ended."""
    lines: list[str] = []
    said: list[tuple[float, str]] = []
    process = subprocess.Popen(
        [str(kubectl_path()), "get", "infd", MOVES.name, "-n", MOVES.namespace, "--watch", "-o", f"jsonpath={WATCHED}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "KUBECONFIG": str(hub.kubeconfig)},
    )
    started = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if not said or said[-1][1] != line:
                said.append((time.monotonic(), line))
            started.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        started.wait(EVENT_SECONDS)
        began = time.monotonic()
        yield lines
        time.sleep(POLL_SECONDS)  # what the API server has said already
    finally:
        process.terminate()
        process.wait()
        reader.join(EVENT_SECONDS)
    lines += [f"{max(0.0, at - began):5.2f} s  {line.rstrip()}" for at, line in said]


def show_events(stage: Stage, screen: Screen) -> None:
    """The Events of the workload, once the last has arrived: they are posted beside the work, not before it."""
    regarding = f"involvedObject.kind=InferenceDeployment,involvedObject.name={MOVES.name}"
    command = ["get", "events", "-n", MOVES.namespace, "--field-selector", regarding]
    deadline = time.monotonic() + EVENT_SECONDS
    while True:
        text = stage.hub.kubectl(*command, "--sort-by=.metadata.resourceVersion", "-o", f"custom-columns={EVENTS}")
        if ENDED in text or time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    screen.heading(f"$ kubectl get events -n {MOVES.namespace} --field-selector involvedObject.name={MOVES.name}")
    screen.show(text)


def show_records(stage: Stage, screen: Screen) -> None:
    """The decisions on the hub, where this version of Domicile keeps them there."""
    if "placementrecords.domicile.dev" in stage.hub.kubectl("get", "crd", "-o", "name"):
        records = stage.hub.kubectl("get", "placementrecords", "-A")
        if records:
            screen.heading("$ kubectl get placementrecords -A")
            screen.show(records)


def verify_log(operator: Operator, screen: Screen) -> None:
    """Whether the decision log is whole, where this version of Domicile keeps one. Once the operator has ended, its
    last checkpoint covers every record."""
    if operator.decisions is None:
        return
    screen.heading(f"$ domicile log verify {operator.decisions.name}")
    done = subprocess.run([str(PROGRAM), "log", "verify", str(operator.decisions)], capture_output=True, text=True)
    screen.show(done.stdout + done.stderr)
    if done.returncode != 0:
        raise DemoError(f"domicile log verify {operator.decisions}: exit code {done.returncode}")
