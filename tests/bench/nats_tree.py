"""The nats engine for coordination, beside bare JetStream and nats-py's key-value store."""

from tests.bench.coordination_sides import CREATE, READ, Target, run_beside
from tests.bench.nats_tree_peers import BARE, peers

__all__ = ("run",)

TARGETS = (
    Target(READ, BARE, cpu=1.2),
    Target(CREATE, BARE, cpu=2.0),
)


def run() -> None:
    """Measure on a server of its own."""
    run_beside("nats", peers, TARGETS)


if __name__ == "__main__":
    run()
