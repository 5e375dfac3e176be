"""A filter that keeps secrets out of the records of loggers, ours and those of the libraries that carry a key."""

from __future__ import annotations

import logging
import traceback
from functools import cache

from .redaction import known_secrets, redact_text

__all__ = ["filter_logs"]

_LOGGERS = (
    "runware_nb", "runware_nb.websocket", "httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2",
    "httpcore.proxy", "httpcore.socks", "hpack.hpack", "hpack.table", "h2", "websockets.client", "websockets.server",
    "asyncio", "concurrent.futures", "sqlalchemy.engine.Engine", "sqlalchemy.pool.impl.QueuePool", "psycopg",
    "psycopg.pool", "keyring", "keyring.backend",
)  # fmt: skip
"""Every logger that these libraries write to: a filter of a logger does not apply to the loggers below it.

A filter of a logger leaves the records of all others alone; a record factory or a filter of the root's handlers would
change what the user's own code logs.
"""
_STANDARD = frozenset(vars(logging.makeLogRecord({})))


class _SecretFilter(logging.Filter):
    """Redacts a record in place, so that every handler gets the same."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, without secrets."""
        if not known_secrets.version:
            return True
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong format is reported by `logging` itself, when the record is written
            message = None
        if message is not None and (clean := _clean(message)) != message:
            record.msg, record.args = clean, ()  # the whole message: an argument alone may hold half of a key
        if record.exc_info and record.exc_info[0] is not None:
            text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
            if (clean := _clean(text)) != text:
                record.exc_text, record.exc_info = clean, None
        if record.exc_text:
            record.exc_text = _clean(record.exc_text)
        if record.stack_info:
            record.stack_info = _clean(record.stack_info)
        for name, value in vars(record).items():
            if name not in _STANDARD and isinstance(value, str):
                setattr(record, name, _clean(value))
        return True


_filter = _SecretFilter()


def filter_logs() -> None:
    """Add the filter to the loggers that need it; it is added once, however often this is called."""
    for logger in _loggers():
        logger.addFilter(_filter)


@cache  # each submission asks for them, and `getLogger` takes a lock for each name
def _loggers() -> tuple[logging.Logger, ...]:
    return tuple(map(logging.getLogger, _LOGGERS))


def _clean(text: str) -> str:
    return redact_text(known_secrets.redact_parts(text))
