"""Logs: one JSON line an event on standard output, each with a stable `action`.

    log = get_logger(camera="camera-1")
    log.info("clip stored", action="clip.stored", key=..., bytes=...)

Passwords inside URLs are blotted out of every value, whoever logs them. Equal lines (same action,
camera and level at warning or above) in a flood become one a second, with the number that was held
back in `repeated`.
"""

import logging
import re
import sys
import threading
from collections.abc import Mapping, MutableMapping
from typing import Any, Protocol, cast

import structlog

from shared.clock import Clock, SystemClock

_CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s'\"]*@", re.IGNORECASE)
_SECRET_PARAMETER = re.compile(
    r"(?P<name>(?:password|passwd|pwd|token|secret|api_?key|key|X-Amz-Signature)=)[^&\s'\"]+",
    re.IGNORECASE,
)


class Log(Protocol):
    """The part of structlog that Cradle uses."""

    def bind(self, **facts: Any) -> "Log": ...
    def debug(self, event: str, **facts: Any) -> Any: ...
    def info(self, event: str, **facts: Any) -> Any: ...
    def warning(self, event: str, **facts: Any) -> Any: ...
    def error(self, event: str, **facts: Any) -> Any: ...


def redact(text: str) -> str:
    """`text` without user names, passwords and keys inside URLs."""
    text = _CREDENTIALS.sub(r"\g<scheme>***@", text)
    return _SECRET_PARAMETER.sub(r"\g<name>***", text)


def _redact_values(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        event[key] = _redact_value(value)
    return event


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, BaseException):
        return redact(str(value) or type(value).__name__)
    if isinstance(value, Mapping):
        return {key: _redact_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redact_value(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


class FloodGate:
    """Lets one line of a kind through each second and counts the rest."""

    def __init__(self, clock: Clock, seconds: float = 1.0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._lock = threading.Lock()
        self._last: dict[tuple[object, ...], float] = {}
        self._held: dict[tuple[object, ...], int] = {}

    def __call__(
        self, _logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        if method not in {"warning", "error", "critical"}:
            return event
        kind = (method, event.get("action"), event.get("camera"))
        now = self._clock.monotonic()
        with self._lock:
            if now - self._last.get(kind, float("-inf")) < self._seconds:
                self._held[kind] = self._held.get(kind, 0) + 1
                raise structlog.DropEvent
            self._last[kind] = now
            held = self._held.pop(kind, 0)
        if held:
            event["repeated"] = held
        return event


def configure(level: str = "info", format_: str = "json", clock: Clock | None = None) -> None:
    """Set up logging for this process. Other libraries' warnings come out in the same form."""
    gate = FloodGate(clock or SystemClock())
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    after: list[Any] = [structlog.processors.format_exc_info, _redact_values]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if format_ == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*before, gate, *after, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # our error says it all
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_name_library, *before, *after],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(lambda record: _passes(gate, record))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))
    # pika logs every refused seat and closed channel as an error; the link reports them itself.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def _passes(gate: FloodGate, record: logging.LogRecord) -> bool:
    try:
        gate(None, record.levelname.lower(), {"action": record.name})
    except structlog.DropEvent:
        return False
    return True


def _name_library(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    record = event.get("_record")
    event.setdefault("action", f"library.{record.name}" if record is not None else "library")
    return event


def get_logger(**facts: Any) -> Log:
    """A logger whose lines all carry `facts`."""
    return cast(Log, structlog.get_logger().bind(**facts))
