"""The story of the demo. `make demo` shows it and cleans up; `KEEP=1 make demo` leaves it to be looked at.

Exit code: 0 if every workload is where it must be, 1 if not or if something did not start, 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from shlex import quote

from devcluster import DevclusterError, Plane, standing
from devcluster.binaries import ensure
from devcluster.progress import paint
from examples.demo import stage as staging
from examples.demo import takeover
from examples.demo.expect import wait_for_all
from examples.demo.screen import Screen
from examples.demo.stage import HUB, MEMBERS, PROGRAM, SYSTEM_NAMESPACE, DemoError, Operator, Stage

EXAMPLES = Path(__file__).resolve().parents[1]
CRDS = EXAMPLES.parent / "crds"
WHERE_PODS_ARE = "NAMESPACE:.metadata.namespace,NAME:.metadata.name,STATUS:.status.phase,NODE:.spec.nodeName"
INTERRUPTED = 130
SERVED_SECONDS = 30.0


def demo(*, keep: bool) -> None:
    """Start everything, apply the examples, wait for real pods, show the answers; then take a provider over."""
    screen = Screen()
    if keep and (left := staging.standing_planes()):
        raise DemoError(f"already running: {', '.join(left)}; stop with: make demo-stop")
    ensure()  # before the first step's clock runs: on a new machine this is a build of minutes
    with ExitStack() as cleaning:
        with screen.step(f"control planes {', '.join((HUB, *MEMBERS))}"):
            stage = cleaning.enter_context(staging.stage(keep=keep))
        with screen.step("CRDs, rule pack cada, nodes of six pools"):
            install(stage)
        with screen.step("operator started"):
            operator = cleaning.enter_context(staging.operator(stage.hub, keep=keep))
        play(stage, operator, screen)
        if not keep:
            operator.stop()
        takeover.verify_log(operator, screen)
        staging.ignore_interrupts()
    screen.done("every pod is where its tier allows it")
    if keep:
        explain_keeping(screen)


def play(stage: Stage, operator: Operator, screen: Screen) -> None:
    """What a user does, and what comes of it."""
    try:
        with screen.step("applied examples/facts and examples/workloads"):
            apply(stage.hub, EXAMPLES / "facts")
            apply(stage.hub, EXAMPLES / "workloads")
        with screen.step("pods Running on nodes of the right pools") as progress:
            wait_for_all(stage, operator, progress)
        show_tables(stage, screen)
        explain_refusal(stage, screen)
        takeover.play(stage, operator, screen)
        show_tables(stage, screen)
    except DemoError as error:
        raise DemoError(f"{error}\n{operator.log_tail()}") from error


def install(stage: Stage) -> None:
    """Once per hub: CRDs, namespace, rule pack, the members' kubeconfigs; beside it the nodes of all planes."""
    with ThreadPoolExecutor() as pool:
        nodes = [pool.submit(staging.create_nodes, plane) for plane in stage.planes.values()]
        apply(stage.hub, CRDS)
        stage.hub.kubectl("create", "namespace", SYSTEM_NAMESPACE)
        for name in MEMBERS:
            add_kubeconfig(stage.hub, stage.planes[name])
        stage.hub.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        pack = subprocess.run([PROGRAM, "frameworks", "cada"], check=True, capture_output=True, text=True).stdout
        stage.hub.kubectl("apply", "--server-side", "-f", "-", stdin=pack)
        for future in nodes:
            future.result()


def apply(hub: Plane, folder: Path) -> None:
    """`kubectl apply` of a folder, again while the API server says that it does not know a new definition yet."""
    deadline = time.monotonic() + SERVED_SECONDS
    while True:
        try:
            hub.kubectl("apply", "--server-side", "-f", str(folder))
            return
        except DevclusterError as error:
            if "ServiceUnavailable" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def add_kubeconfig(hub: Plane, member: Plane) -> None:
    """The Secret through which the operator reaches a member; examples/facts names it."""
    file = f"--from-file=kubeconfig={member.kubeconfig}"
    hub.kubectl("-n", SYSTEM_NAMESPACE, "create", "secret", "generic", member.name, file)


def show_tables(stage: Stage, screen: Screen) -> None:
    """What `kubectl get` says on the hub and on the members."""
    for command in ("get sovc", "get infd -A"):
        screen.heading(f"$ kubectl {command}")
        screen.show(stage.hub.kubectl(*command.split()))
    for name in MEMBERS:
        screen.heading(f"$ kubectl get pods -A    # on {name}")
        screen.show(stage.planes[name].kubectl("get", "pods", "-A", "-o", f"custom-columns={WHERE_PODS_ARE}"))


def explain_refusal(stage: Stage, screen: Screen) -> None:
    """Why one workload runs nowhere. The answer "not placeable" is exit code 1."""
    screen.heading("$ kubectl domicile explain infd/triage -n health")
    command = [str(PROGRAM), "explain", "infd/triage", "-n", "health", "--kubeconfig", str(stage.hub.kubeconfig)]
    code = subprocess.run(command, check=False).returncode
    if code != 1:
        raise DemoError(f"explain infd/triage: exit code {code}, not 1 (not placeable)")


def explain_keeping(screen: Screen) -> None:
    """How to look around in what stays, and how to end it."""
    screen.heading("Left running. The hub:")
    screen.show(standing.environment(HUB))
    screen.show(f'export PATH={quote(str(PROGRAM.parent))}:"$PATH"    # kubectl domicile')
    screen.heading("The members:")
    for name in MEMBERS:
        screen.show(f'eval "$({quote(str(PROGRAM.with_name("devcluster")))} env {name})"')
    screen.heading("To stop everything:")
    screen.show(f"make -C {quote(str(EXAMPLES.parent))} demo-stop")


def main() -> int:
    """Play or, told so, stop what an earlier play left."""
    staging.prepare_process()
    try:
        if sys.argv[1:] == ["stop"]:
            staging.stop()
        else:
            demo(keep=os.environ.get("KEEP", "") not in ("", "0"))
    except (DemoError, DevclusterError, subprocess.SubprocessError) as error:
        print(f"\n{paint('demo failed:', colour='red', stream=sys.stderr)} {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; nothing is left running", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
