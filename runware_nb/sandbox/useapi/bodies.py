"""Bodies of calls: JSON, or the fields of a form."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from .refusals import Refused

__all__ = ["parse_body"]

Json = dict[str, Any]
_TEXTS = frozenset(
    {"email", "model", "name", "password", "replyRef", "replyUrl", "text_prompt", "voiceId", "voice_text"}
)
"""Parameters that stay text in a form, even if they look like a number."""


def parse_body(content: bytes, media_type: str) -> Json:
    """Parse the body of a POST.

    Fields of `multipart/form-data` are texts. One that is a JSON number, true or false is read as such unless the
    parameter is a text, because the documents list the same parameters for both forms.

    Args:
        content: The body.
        media_type: Value of its Content-Type.

    Raises:
        Refused: The body is not an object, or a form that cannot be read.
    """
    if media_type.lower().startswith("multipart/form-data"):
        return _parse_form(content, media_type)
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refused(400, "The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise Refused(400, "The body must be a JSON object.")
    return body


def _parse_form(content: bytes, media_type: str) -> Json:
    head = f"Content-Type: {media_type}\r\n\r\n".encode("latin-1")
    message = BytesParser(policy=HTTP).parsebytes(head + content)
    fields: Json = {}
    if not message.is_multipart():
        raise Refused(400, "The form cannot be read.")
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        value = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(value, bytes):
            raise Refused(400, "The form cannot be read.")
        text = value.decode(errors="replace").removesuffix("\r\n")
        fields[name] = text if name in _TEXTS else _parse_field(text)
    return fields


def _parse_field(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, (int, float)) else text
