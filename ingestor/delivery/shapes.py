"""The parts of the settings of a destination that its senders use."""

from collections.abc import Mapping
from typing import Literal, Protocol


class Secret(Protocol):
    """A text that is resolved when it is used."""

    def resolve(self) -> str:
        """The text itself."""


class Bearer(Protocol):
    """A token in the header `Authorization`."""

    @property
    def kind(self) -> Literal["bearer"]:
        """What tells the kinds apart."""

    @property
    def token(self) -> Secret:
        """The token."""


class Basic(Protocol):
    """A name and a password in the header `Authorization`."""

    @property
    def kind(self) -> Literal["basic"]:
        """What tells the kinds apart."""

    @property
    def username(self) -> Secret:
        """The name."""

    @property
    def password(self) -> Secret:
        """The password."""


class Header(Protocol):
    """A value in a header of any name."""

    @property
    def kind(self) -> Literal["header"]:
        """What tells the kinds apart."""

    @property
    def name(self) -> str:
        """The header's name."""

    @property
    def value(self) -> Secret:
        """The header's value."""


class ClientCredentials(Protocol):
    """A token that the destination's authorization server gives for a client's name and secret."""

    @property
    def kind(self) -> Literal["oauth2_client_credentials"]:
        """What tells the kinds apart."""

    @property
    def token_url(self) -> Secret:
        """Where the token is asked for."""

    @property
    def client_id(self) -> Secret:
        """The client's name."""

    @property
    def client_secret(self) -> Secret:
        """The client's secret."""

    @property
    def scope(self) -> str | None:
        """What the token is to permit."""


Auth = Bearer | Basic | Header | ClientCredentials


class Rendering(Protocol):
    """How records become a body."""

    @property
    def content_type(self) -> str:
        """The media type of the body."""


class Stream(Protocol):
    """What is sent of one entity."""

    @property
    def name(self) -> str:
        """Its name within the destination."""

    @property
    def path(self) -> str:
        """What is appended to the path of the destination's URL."""

    @property
    def method(self) -> str:
        """POST, PUT or PATCH."""

    @property
    def wrap(self) -> str | None:
        """How records stand in a body; `none`: a message for each."""

    @property
    def rendering(self) -> Rendering:
        """How its records become a body."""


class Place(Protocol):
    """What every kind of destination has."""

    @property
    def name(self) -> str:
        """The destination's name."""

    @property
    def url(self) -> Secret:
        """Its address, which is a secret."""

    @property
    def timeout(self) -> float:
        """Seconds within which a request must have its whole answer."""

    @property
    def allow_http(self) -> bool:
        """Whether connections without TLS are permitted."""

    @property
    def allow_private(self) -> bool:
        """Whether addresses of private networks are permitted."""


class HttpPlace(Place, Protocol):
    """A destination of kind http."""

    @property
    def concurrency(self) -> int:
        """Requests that may be under way at once."""

    @property
    def auth(self) -> Auth | None:
        """How requests are authorized."""

    @property
    def headers(self) -> Mapping[str, Secret]:
        """Headers of every request."""

    @property
    def sign(self) -> tuple[Secret, ...]:
        """The secrets with which requests are signed."""


class AmqpPlace(Place, Protocol):
    """A destination of kind amqp."""

    @property
    def exchange(self) -> str | None:
        """The exchange to which messages are published; None or empty: the default one."""

    @property
    def routing_key(self) -> str | None:
        """The routing key; with the default exchange `queue` takes its place."""

    @property
    def queue(self) -> str | None:
        """The queue that is declared, durable and without arguments, and published to."""


class SecretMissing(Exception):
    """A secret cannot be resolved."""
