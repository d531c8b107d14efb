"""Spans and durations reach OpenTelemetry, by the names of the Protocol."""

import subprocess
import sys
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asyncbackends import ObjectType, Schema, open_config_database
from asyncbackends.errors import ObjectNotFoundError


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """Set the process's provider, which can be set once."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


async def test_every_operation_is_a_span_with_its_outcome(exporter: InMemorySpanExporter) -> None:
    schema = Schema({"project": ObjectType()})
    exporter.clear()
    async with open_config_database(engine="memory", endpoints="spans", schema=schema) as db:
        await db.object_create("project", uuid4(), {"fq_name": ["secret-name"]})
        with pytest.raises(ObjectNotFoundError):
            await db.object_get("project", uuid4())
    spans = {span.name: dict(span.attributes or {}) for span in exporter.get_finished_spans()}
    assert spans["config_database object_create"]["asyncbackends.outcome"] == "ok"
    failed = spans["config_database object_get"]
    assert failed["asyncbackends.outcome"] == "ObjectNotFoundError"
    assert failed["asyncbackends.engine"] == "memory"
    assert "secret-name" not in str(spans)


def test_works_without_the_extra() -> None:
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import asyncio, asyncbackends, asyncbackends.observability as seen\n"
        "assert seen.telemetry is None\n"
        "async def main():\n"
        "    async with asyncbackends.open_config_database(engine='memory') as db:\n"
        "        print(await db.current_revision())\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr
