"""`tools/bench qmp-latency`: how soon main answers QMP beside a device process that is hostile.

The VM is the device layer's (tests/device/hostile_device/): the real main process with everything but KVM,
its QMP socket, and a jailed process that attacks it. Runs in Bulkhead's own environment.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from tests.device.hostile_device import memory_attacks, packet_attacks
from tests.device.hostile_device.attack import Attack
from tests.device.hostile_device.hostile_vm import BAD, PATIENT, HostileVm
from tests.device.hostile_device.performance import begin, expect_recovery
from tests.unit.qmp.raw_client import RawClient
from tools.setup.host_kind import host_kind

KIND = "virtio-rng"
STATUS_OVER_BUDGET = 1
STATUS_NOT_MEASURED = 2
QUIET = "quiet"
WAYS: dict[str, Attack | None] = {
    QUIET: None,
    "talks": packet_attacks.TALK,
    "floods": packet_attacks.FLOOD,
    "signals": memory_attacks.CALLS,
}
# A controller's timeouts are seconds; a human being notices a tenth of one.
BUDGET_MORE_MS = 20.0
# Where a quiet process alone has answers take longer, others keep main from the CPU: what a hostile one adds
# would be lost among them.
QUIET_AT_MOST_MS = BUDGET_MORE_MS / 2
TOO_BUSY = "the host is too busy"
_WARM_UP = 100
# Of the pipe that names kinds: enough for a round in which each process lives for a millisecond.
_SUCCESSORS = 2000


class LatencyError(Exception):
    """It couldn't be measured."""


def round_trips_ms(client: RawClient, count: int) -> list[float]:
    """The times of so many answers to query-status, one question after the other."""
    samples = []
    for _ in range(count):
        began_ns = time.perf_counter_ns()
        answer = client.execute("query-status")
        while "event" in answer:  # it is on its way before the answer
            answer = client.receive()
        samples.append((time.perf_counter_ns() - began_ns) / 1e6)
        if answer.get("return", {}).get("status") != "running":
            raise LatencyError(f"the VM doesn't run: {answer}")
    return samples


def measure(way: str, count: int) -> tuple[list[float], int]:
    """Round trips beside a process that behaves so, and how many of its kind have died meanwhile."""
    attack = WAYS[way]
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as directory:
        vm = HostileVm(Path(directory), KIND, deadlines=PATIENT)
        try:
            vm.drivers[BAD].driver_ok()
            expect_recovery(vm)
            client = RawClient(str(Path(directory) / "qmp"))
            client.negotiate()
            round_trips_ms(client, _WARM_UP)
            if attack is not None:
                if attack is packet_attacks.FLOOD:
                    vm.name_next(attack, times=_SUCCESSORS)
                begin(vm, attack)
            restarts = vm.restarts()
            samples = round_trips_ms(client, count)
            deaths = vm.restarts() - restarts
            client.close()
        finally:
            vm.close()
    if (deaths > 0) != (attack is packet_attacks.FLOOD):
        raise LatencyError(f"{way}: {deaths} processes have died")
    return samples, deaths


def main(rounds: int, count: int) -> int:
    """Measures and prints; returns the exit status."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(f"host: {host_kind().sentence}")
    print(f"  {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, load {load}")
    print(f"query-status, {count} answers in each of {rounds} rounds", flush=True)
    samples: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    deaths = dict.fromkeys(WAYS, 0)
    try:
        for number in range(rounds):
            ways = list(WAYS)
            for way in ways[number % len(ways) :] + ways[: number % len(ways)]:
                found, died = measure(way, count)
                samples[way].append(found)
                deaths[way] += died
    except (LatencyError, OSError) as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return STATUS_NOT_MEASURED
    return _print(samples, deaths)


def p99(samples: list[float]) -> float:
    """What 99 of 100 are within."""
    return quantiles(samples, n=100)[98]


def _print(samples: dict[str, list[list[float]]], deaths: dict[str, int]) -> int:
    quiet_p50, quiet_p99 = (median(what(each) for each in samples[QUIET]) for what in (median, p99))
    more_ms: dict[str, float] = {}
    for way, found in samples.items():
        p50s, p99s = [median(each) for each in found], [p99(each) for each in found]
        slowest = max(max(each) for each in found)
        died = f", {deaths[way]} processes died" if deaths[way] else ""
        print(f"\n{way}, raw: each round's median in ms: {' '.join(f'{each:.3f}' for each in p50s)}")
        print(f"  99 % within, in ms: {' '.join(f'{each:.3f}' for each in p99s)}")
        print(
            f"  median {median(p50s):.3f} ms ({median(p50s) / quiet_p50:.2f} x quiet), 99 % within "
            f"{median(p99s):.3f} ms ({median(p99s) / quiet_p99:.2f} x), slowest {slowest:.1f} ms{died}"
        )
        if way != QUIET:
            more_ms[way] = median(p99s) - quiet_p99
    print(flush=True)
    if quiet_p99 > QUIET_AT_MOST_MS:
        reason = f"99 % of the answers beside a quiet process took {quiet_p99:.3f} ms, at most"
        print(
            f"tools/bench: not measured: {reason} {QUIET_AT_MOST_MS:g} are allowed: {TOO_BUSY}",
            file=sys.stderr,
        )
        return STATUS_NOT_MEASURED
    return _judge(more_ms)


def _judge(more_ms: dict[str, float]) -> int:
    """Holds each way's p99, above the quiet one's, against the budget."""
    for way, more in more_ms.items():
        verdict = "within budget" if more <= BUDGET_MORE_MS else "OVER BUDGET"
        print(
            f"budget: qmp-latency, {way}: 99 % within {more:.3f} ms more than beside a quiet one, "
            f"at most {BUDGET_MORE_MS:g}: {verdict}"
        )
    return 0 if max(more_ms.values()) <= BUDGET_MORE_MS else STATUS_OVER_BUDGET


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
