"""Spans and metrics through OpenTelemetry; importable where the extra ``telemetry`` is installed."""

from opentelemetry import metrics, trace

__all__ = ("record_duration", "start_span")

_tracer = trace.get_tracer("asyncbackends")
_durations = metrics.get_meter("asyncbackends").create_histogram(
    "asyncbackends.operation.duration", unit="s", description="Duration of backend operations"
)


def start_span(kind: str, engine: str, operation: str) -> trace.Span:
    """Start a client span for one operation."""
    return _tracer.start_span(
        f"{kind} {operation}",
        kind=trace.SpanKind.CLIENT,
        attributes={
            "asyncbackends.kind": kind,
            "asyncbackends.engine": engine,
            "asyncbackends.operation": operation,
        },
    )


def record_duration(seconds: float, kind: str, engine: str, operation: str, outcome: str) -> None:
    """Add one operation to the duration histogram."""
    attributes = {"kind": kind, "engine": engine, "operation": operation, "outcome": outcome}
    _durations.record(seconds, attributes)
