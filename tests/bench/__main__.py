"""Runs the benchmarks that are named, or all: `nox -s bench -- memory sqlite`."""

import sys
from importlib import import_module

BENCHMARKS = (
    "memory",
    "sqlite",
    "postgres",
    "mysql",
    "broker",
    "rabbitmq",
    "nats",
    "coordination",
    "zookeeper",
    "etcd",
    "nats_tree",
)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(
            f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}", file=sys.stderr
        )
        return 2
    for name in names or BENCHMARKS:
        import_module(f"tests.bench.{name}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
