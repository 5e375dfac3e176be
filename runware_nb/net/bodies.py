"""Bodies of HTTP responses: decompressed in small pieces, so that a size limit holds before the memory is used."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping

from ..errors import RunwareNBError, TransportError

__all__ = ["ACCEPTED_ENCODINGS", "read_body", "read_pieces"]

ACCEPTED_ENCODINGS = "gzip, deflate"
"""What requests offer. httpx decompresses each chunk from the network as a whole: 64 KiB of gzip become 66 MB, and
two layers of it 68 GB. So bodies are read raw and decompressed here, and only one layer of these two is accepted."""

_PIECE_BYTES = 256 * 1024


class _Inflater:
    """Decompresses gzip or deflate in pieces of a bounded size."""

    def __init__(self, encoding: str) -> None:
        self._is_gzip = encoding != "deflate"
        self._head = b""
        self._stream: zlib._Decompress | None = None
        self._members = 0
        self._is_over = False

    @property
    def is_complete(self) -> bool:
        """Whether the data ended where its format says that it ends."""
        return self._is_over or (self._stream is None and self._members > 0)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Decompress a chunk.

        Raises:
            zlib.error: The data is not of this format.
        """
        rest = self._head + chunk
        self._head = b""
        while rest and not self._is_over:
            if self._stream is None:
                if len(rest) < 2:
                    self._head = rest
                    return
                if self._members and not (self._is_gzip and rest.startswith(b"\x1f\x8b")):
                    self._is_over = True  # gzip may be followed by padding, which is no part of the body
                    return
                self._stream = zlib.decompressobj(self._window_bits(rest))
            while True:
                piece = self._stream.decompress(rest, _PIECE_BYTES)
                rest = self._stream.unconsumed_tail
                if piece:
                    yield piece
                if self._stream.eof:
                    rest, self._stream = self._stream.unused_data, None
                    self._members += 1
                    break
                if not rest and len(piece) < _PIECE_BYTES:
                    return

    def _window_bits(self, head: bytes) -> int:
        if self._is_gzip:
            return zlib.MAX_WBITS | 16
        is_zlib = head[0] & 15 == 8 and int.from_bytes(head[:2], "big") % 31 == 0
        return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS  # "deflate" is sent in both forms


async def read_pieces(raw: AsyncIterator[bytes], headers: Mapping[str, str], host: str) -> AsyncGenerator[bytes]:
    """Decompress a body as it arrives, in pieces of at most 256 KiB more than the network delivered.

    Args:
        raw: As it arrives.
        headers: Of the response.
        host: Of the server, for messages.

    Raises:
        TransportError: It is compressed in a way that was not offered, is damaged, or ends too early.
    """
    encodings = [name for part in headers.get("content-encoding", "").lower().split(",") if (name := part.strip())]
    encodings = [name for name in encodings if name != "identity"]
    if not encodings:
        async for chunk in raw:
            yield chunk
        return
    if len(encodings) > 1 or encodings[0] not in {"gzip", "x-gzip", "deflate"}:
        shown = ", ".join(encodings)[:60]
        raise TransportError(
            f"{host} sent a response compressed with {shown!r}, but {ACCEPTED_ENCODINGS} was asked for, in one layer"
        )
    inflater = _Inflater(encodings[0])
    has_begun = False
    try:
        async for chunk in raw:
            has_begun = has_begun or bool(chunk)
            for piece in inflater.feed(chunk):
                yield piece
    except zlib.error as error:
        raise TransportError(f"{host} sent a compressed response that is damaged ({error})") from error
    if has_begun and not inflater.is_complete:
        raise TransportError(f"{host} sent only a part of a compressed response")


async def read_body(
    raw: AsyncIterator[bytes],
    headers: Mapping[str, str],
    host: str,
    *,
    max_bytes: int,
    too_large: Callable[[], RunwareNBError],
) -> bytes:
    """Read and decompress a whole body.

    Args:
        raw: As it arrives.
        headers: Of the response.
        host: Of the server, for messages.
        max_bytes: Largest size after decompression.
        too_large: Builds the error to raise for a larger one.

    Raises:
        RunwareNBError: *too_large*'s, before more than *max_bytes* are in memory.
        TransportError: See `read_pieces`.
    """
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:  # compressed bytes too are more than they unpack to, if ever
        raise too_large()
    body = bytearray()
    async with contextlib.aclosing(read_pieces(raw, headers, host)) as pieces:
        async for piece in pieces:
            if len(body) + len(piece) > max_bytes:
                raise too_large()
            body += piece
    return bytes(body)
