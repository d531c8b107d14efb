"""The etcd engine beside bare grpc.aio stubs, and aetcd in an interpreter of its own."""

from tests.bench.coordination_sides import CREATE, LOCK, READ, Target, run_beside
from tests.bench.etcd_peers import STUBS, peers

__all__ = ("run",)

TARGETS = (
    Target(READ, STUBS, cpu=1.15),
    Target(CREATE, STUBS, cpu=1.25),
    Target(LOCK, STUBS, throughput=0.8),
)


def run() -> None:
    """Measure on a server of its own."""
    run_beside("etcd", peers, TARGETS)


if __name__ == "__main__":
    run()
