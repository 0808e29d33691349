"""Makes of a file of `destinations/` what the worker needs: streams compiled, defaults set, secrets by reference."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from common.connections import guards
from common.connections.conditions import compile_conditions
from common.connections.examples import failed_examples
from common.connections.files import (
    MOST_OF_A_MESSAGE,
    BasicFile,
    BearerFile,
    DestinationFile,
    HeaderFile,
    ResultsFile,
    StreamFile,
)
from common.connections.results import Rejection, ResultsRule, path_of
from common.connections.secrets import SecretText
from common.connections.settings import (
    Auth,
    Basic,
    Bearer,
    ClientCredentials,
    Conditions,
    Destination,
    HeaderKey,
    Stream,
)
from common.entities.delivered import Delivered
from common.mapping.fields import ARRAY, LINES, NONE, compile_fields
from common.mapping.messages import CHATS, compile_message
from common.mapping.problem import At, Problem, unknown
from common.mapping.rendering import Rendering
from common.mapping.values import to_text

RECORDS, RECORDS_OF_A_MESSAGE = 1000, 20
BYTES = 5 * 1024 * 1024
HOLD_ABOVE, HOLD_ABOVE_OF_A_CHAT = 10_000, 500
CHAT_REQUESTS_PER_SECOND = 1.0
_OF_AMQP = ("exchange", "routing_key", "queue")
_OF_HTTP = ("auth", "sign", "headers")
_OF_HTTP_STREAMS = ("path", "method", "results")
_OF_GENERIC_STREAMS = ("fields", "results")
T = TypeVar("T")


def make_destination(
    name: str, digest: bytes, written: DestinationFile, entities: Mapping[str, Delivered]
) -> tuple[Destination | None, list[Problem]]:
    """The destination, or all that keeps it from being one."""
    maker = _Maker(written, entities)
    return maker.make(name, digest), maker.problems


class _Maker:
    """Goes on after a problem, so that all of them are found at once."""

    def __init__(self, written: DestinationFile, entities: Mapping[str, Delivered]) -> None:
        self.problems: list[Problem] = []
        self._written = written
        self._entities = entities
        self._is_amqp = written.kind == "amqp"
        self._is_chat = written.preset in CHATS

    def make(self, name: str, digest: bytes) -> Destination | None:
        written = self._written
        self.problems += _combinations(written)
        url = self._try(self._url)
        auth = self._try(lambda: _auth(written)) if written.auth else None
        headers = self._try(lambda: dict(guards.headers(written.headers, ("headers",))))
        signs = [
            self._try(lambda text=each, place=index: guards.secret(text, ("sign", place)))  # type: ignore[misc]
            for index, each in enumerate(written.sign or ())
        ]
        streams = [self._stream(each, ("streams", index)) for index, each in enumerate(written.streams)]
        self._check_names()
        resources = [each.entity.resource for each in streams if each is not None]
        if written.after and resources and not any(resources):
            self.problems.append(Problem(("after",), "nenhuma das entidades é lida do portal por atualizações"))
        if self.problems or url is None:
            return None
        chat_pace = CHAT_REQUESTS_PER_SECOND if self._is_chat else None
        return Destination(
            name=name,
            digest=digest,
            kind=written.kind,
            preset=written.preset,
            url=url,
            auth=auth,
            sign=tuple(each for each in signs if each is not None),
            headers=headers or {},
            schedule=written.schedule,
            after=written.after,
            start=written.start,
            hold_above=written.hold_above or (HOLD_ABOVE_OF_A_CHAT if self._is_chat else HOLD_ABOVE),
            requests_per_second=written.requests_per_second or chat_pace,
            concurrency=written.concurrency,
            timeout=written.timeout,
            allow_http=written.allow_http,
            allow_private=written.allow_private,
            exchange=written.exchange or "",
            routing_key=written.queue or written.routing_key or "",
            queue=written.queue or "",
            streams=tuple(each for each in streams if each is not None),
        )

    def _try(self, make: Callable[[], T]) -> T | None:
        try:
            return make()
        except Problem as problem:
            self.problems.append(problem)
            return None

    def _url(self) -> SecretText:
        return guards.url(
            self._written.url,
            ("url",),
            schemes=("amqp", "amqps") if self._is_amqp else ("https", "http"),
            is_secret=self._is_chat,
            allow_http=self._written.allow_http,
        )

    def _check_names(self) -> None:
        names: set[str] = set()
        for index, each in enumerate(self._written.streams):
            name = each.name or each.entity
            if name in names:
                at: At = ("streams", index, "name" if each.name else "entity")
                self.problems.append(Problem(at, f"há outro fluxo de nome `{name}`; dê um `name` a um deles"))
            names.add(name)

    def _stream(self, written: StreamFile, at: At) -> Stream | None:
        entity = self._entities.get(written.entity)
        if entity is None:
            said = unknown("entidade desconhecida", written.entity, self._entities)
            self.problems.append(Problem((*at, "entity"), said))
            return None
        self.problems += _stream_combinations(written, at, is_chat=self._is_chat, is_amqp=self._is_amqp)
        self._try(lambda: guards.check_path(written.path, (*at, "path")))
        where = self._try(lambda: compile_conditions(written.where or {}, entity, (*at, "where")))
        wrap = written.batch.wrap or (NONE if self._is_amqp else ARRAY)
        rendering = self._try(lambda: self._rendering(written, entity, wrap, at))
        if rendering is None:
            return None
        examples = failed_examples(written.examples, entity, rendering, (*at, "examples"), is_message=self._is_chat)
        self.problems += examples
        return Stream(
            name=written.name or written.entity,
            entity=entity,
            where=where or Conditions("", ()),
            path=written.path,
            method=written.method,
            batch_records=self._batch_records(written, wrap, (*at, "batch")),
            batch_bytes=CHATS[self._written.preset].max_bytes if self._is_chat else written.batch.max_bytes or BYTES,
            wrap=None if self._is_chat else wrap,
            results=self._try(lambda: _results(written.results, (*at, "results"))),
            rendering=rendering,
        )

    def _rendering(self, written: StreamFile, entity: Delivered, wrap: str, at: At) -> Rendering:
        if self._is_chat:
            if written.message is None:
                raise Problem(at, "falta `message`, com `line`")
            return compile_message(
                self._written.preset,
                written.message.head,
                written.message.line,
                entity,
                chat_id=self._written.chat_id or "",
                at=(*at, "message"),
            )
        echo = written.results.key if written.results else None
        return compile_fields(written.fields, entity, wrap=wrap, echo=echo, at=(*at, "fields"))

    def _batch_records(self, written: StreamFile, wrap: str, at: At) -> int:
        asked = written.batch.records
        if self._is_chat:
            if asked is not None and asked > MOST_OF_A_MESSAGE:
                self.problems.append(Problem((*at, "records"), f"em uma mensagem, o máximo é {MOST_OF_A_MESSAGE}"))
            return asked or RECORDS_OF_A_MESSAGE
        if wrap == NONE and not self._is_amqp:
            if asked not in (None, 1):
                self.problems.append(Problem((*at, "records"), "com wrap: none, cada pedido leva 1 registro"))
            return 1
        return asked or RECORDS


def _combinations(written: DestinationFile) -> Iterator[Problem]:
    """What of a destination does not go together."""
    given = written.model_fields_set
    is_amqp = written.kind == "amqp"
    for name in _OF_HTTP if is_amqp else _OF_AMQP:
        if name in given:
            yield Problem((name,), f"`{name}` só existe com kind: {'http' if is_amqp else 'amqp'}")
    if is_amqp:
        yield from _amqp_combinations(written)
    for name in ("auth", "sign", "headers") if written.preset in CHATS else ():
        if name in given:
            yield Problem((name,), f"`{name}` não existe com preset: {written.preset}")
    if (written.preset == "telegram") is not (written.chat_id is not None):
        at: At = ("chat_id",) if written.chat_id is not None else ()
        yield Problem(at, "`chat_id` existe com preset: telegram, e é obrigatório nele")


def _amqp_combinations(written: DestinationFile) -> Iterator[Problem]:
    if written.preset != "generic":
        yield Problem(("preset",), f"`{written.preset}` não existe com kind: amqp")
    if bool(written.queue) is bool(written.exchange):
        yield Problem((), "com kind: amqp, dê `queue`, ou `exchange` e `routing_key`")
    elif written.queue and written.routing_key is not None:
        yield Problem(("routing_key",), "com `queue`, a chave é o nome da fila")


def _stream_combinations(written: StreamFile, at: At, *, is_chat: bool, is_amqp: bool) -> Iterator[Problem]:
    """What of a stream does not go together with its destination."""
    given = written.model_fields_set
    for name in _OF_HTTP_STREAMS:
        if is_amqp and name in given:
            yield Problem((*at, name), f"`{name}` só existe com kind: http")
    for name in _OF_GENERIC_STREAMS:
        if is_chat and name in given:
            yield Problem((*at, name), f"`{name}` não existe em mensagens: use `message`")
    if not is_chat and "message" in given:
        yield Problem((*at, "message"), "`message` só existe com preset slack, teams ou telegram")
    for name in written.batch.model_fields_set - {"records"} if is_chat else ():
        yield Problem((*at, "batch", name), f"`{name}` é do preset")
    if written.results is not None and written.batch.wrap == LINES and not written.results.key:
        yield Problem((*at, "results"), "com wrap: lines, `results` precisa de `key`")


def _auth(written: DestinationFile) -> Auth:
    auth = written.auth
    if isinstance(auth, BearerFile):
        return Bearer(guards.secret(auth.token, ("auth", "token")))
    if isinstance(auth, BasicFile):
        username = guards.secret_text(auth.username, ("auth", "username"))
        return Basic(username, guards.secret(auth.password, ("auth", "password")))
    if isinstance(auth, HeaderFile):
        guards.check_header(auth.name, ("auth", "name"))
        return HeaderKey(auth.name, guards.secret(auth.value, ("auth", "value")))
    assert auth is not None  # noqa: S101  # asked only where there is one
    return ClientCredentials(
        guards.url(
            auth.token_url,
            ("auth", "token_url"),
            schemes=("https", "http"),
            is_secret=False,
            allow_http=written.allow_http,
        ),
        guards.secret_text(auth.client_id, ("auth", "client_id")),
        guards.secret(auth.client_secret, ("auth", "client_secret")),
        auth.scope,
        auth.in_body,
    )


def _results(written: ResultsFile | None, at: At) -> ResultsRule | None:
    if written is None:
        return None
    rejections = []
    for path, said in written.rejected_when.items():
        place = (*at, "rejected_when", path)
        if said == "present":
            rejections.append(Rejection(path_of(path), "present"))
            continue
        form, values = next(iter(said.items()), ("", None))
        if len(said) != 1 or form not in ("in", "not_in") or not isinstance(values, list) or not values:
            raise Problem(place, "esperava present, {in: [...]} ou {not_in: [...]}")
        texts = [to_text(each) for each in values]
        rejections.append(Rejection(path_of(path), form, frozenset(each for each in texts if each is not None)))
    return ResultsRule(written.at, written.key, tuple(rejections), written.reason)
