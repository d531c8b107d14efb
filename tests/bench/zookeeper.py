"""The zookeeper engine beside bare aiozk, kazoo and tooz, on the same server."""

from tests.bench.coordination_sides import CREATE, LOCK, READ, Target, run_beside
from tests.bench.zookeeper_peers import AIOZK, KAZOO, peers

__all__ = ("run",)

TARGETS = (
    Target(READ, AIOZK, cpu=0.55),
    Target(CREATE, AIOZK, cpu=0.55),
    Target(LOCK, KAZOO, throughput=1.3),
)


def run() -> None:
    """Measure on a server of its own."""
    run_beside("zookeeper", peers, TARGETS)


if __name__ == "__main__":
    run()
