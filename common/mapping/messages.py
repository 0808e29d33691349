"""Messages of chats: lines of records below a head, as each chat wants them.

Texts of the portal are strangers' words: every value is escaped, so that it can neither call people nor hide a link.
What the template itself says is left as it is.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from common.entities.delivered import Delivered
from common.mapping import templates
from common.mapping.fields import JSON, digest_of, parse_row
from common.mapping.problem import At, Problem
from common.mapping.rendering import CannotRender, Rendered, Rendering
from common.mapping.scope import Columns
from common.mapping.templates import Template
from common.resources.description import Kind

_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9./?=%:+@,;_~-]+")
_TEAMS_SIGNS = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_MOST_COUNTED = 99_999
_CARD = "application/vnd.microsoft.card.adaptive"


def _slack(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _teams(text: str) -> str:
    """Cards read Markdown; addresses are left alone, for a sign in front of their `_` would be part of them."""
    return text if _PLAIN_URL.fullmatch(text) else _TEAMS_SIGNS.sub(r"\\\1", _slack(text))


def _slack_body(text: str, _chat_id: str) -> Any:
    return {"text": text}


def _telegram_body(text: str, chat_id: str) -> Any:
    return {"chat_id": chat_id, "text": text, "parse_mode": "HTML", "link_preview_options": {"is_disabled": True}}


def _teams_body(text: str, _chat_id: str) -> Any:
    block = {"type": "TextBlock", "text": text, "wrap": True}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [block],
    }
    return {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": card}]}


@dataclass(frozen=True)
class Chat:
    """How a chat wants its messages. `max_bytes` of a body keep a message below the chat's limit."""

    escape: Callable[[str], str]
    body: Callable[[str, str], Any]
    between: str
    max_bytes: int


CHATS: Mapping[str, Chat] = {
    # 40,000 characters, which are no more than their bytes
    "slack": Chat(_slack, _slack_body, "\n", 39_000),
    # 28 KB, of which quotes and line ends take two bytes each
    "teams": Chat(_teams, _teams_body, "\n\n", 13_000),
    # 4,096 characters
    "telegram": Chat(html.escape, _telegram_body, "\n", 4_096),
}


@dataclass(frozen=True, eq=False)
class MessageRendering(Rendering):
    """A record as a line."""

    head: str
    line: Template
    of_json: tuple[int, ...]
    chat: Chat
    chat_id: str

    def render(self, row: Sequence[Any], key: str, version: datetime) -> Rendered:  # noqa: ARG002  # of the contract
        """The line of a row; values are shortened until it fits into a message."""
        parsed = parse_row(row, self.of_json)
        most = self.chat.max_bytes - self.overhead - len(self.chat.between)
        longest = most
        while longest:
            content = self.line.write(parsed, self._escape, longest).encode()
            if len(content) <= most:
                return Rendered(content, None)
            longest //= 2
        raise CannotRender("a linha não cabe em uma mensagem")

    def _escape(self, text: str) -> str:
        return self.chat.escape(_BLANK.sub(" ", text).strip())

    def body(self, contents: Sequence[bytes]) -> bytes:
        """The message of these lines."""
        lines = [each.decode() for each in contents]
        if self.head:
            lines.insert(0, self.head.replace(COUNT, str(len(contents))))
        return msgspec.json.encode(self.chat.body(self.chat.between.join(lines), self.chat_id))


COUNT = "{count}"


def compile_message(
    chat_name: str, head: str, line: str, entity: Delivered, *, chat_id: str, at: At
) -> MessageRendering:
    """Compile the templates of a message.

    Raises:
        Problem: a template reads what the entity does not have, or leaves no room for records.

    """
    chat = CHATS[chat_name]
    if re.search(r"[{}]", head.replace(COUNT, "")):
        raise Problem((*at, "head"), f"em `head` só existe {COUNT}")
    if COUNT in line:
        raise Problem((*at, "line"), f"{COUNT} só existe em `head`")
    columns = Columns(entity.columns)
    template = templates.parse(line, columns.find, (*at, "line"))
    used = columns.used
    empty = chat.body(head.replace(COUNT, str(_MOST_COUNTED)), chat_id)
    overhead = len(msgspec.json.encode(empty)) + len(chat.between)
    if overhead > chat.max_bytes // 2:
        raise Problem((*at, "head"), "`head` é longo demais para uma mensagem")
    return MessageRendering(
        columns=tuple(each.name for each in used),
        digest=digest_of(used, [chat_name, line]),
        content_type=JSON,
        overhead=overhead,
        head=head,
        line=template,
        of_json=tuple(index for index, each in enumerate(used) if each.kind is Kind.JSON),
        chat=chat,
        chat_id=chat_id,
    )
