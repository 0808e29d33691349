"""Which addresses a request to another system may reach, decided where the socket is opened.

A name is resolved by others and may say something else a moment later, and a literal address is never resolved; every
connection opens a socket for one address, so that is where the rule cannot be passed by.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

PRIVATE_V4: Final = tuple(
    IPv4Network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
)
PRIVATE_V6: Final = (IPv6Network("fc00::/7"),)
"""Networks of organisations and providers: forbidden unless the destination says `allow_private`."""

LOOPBACK_V4: Final = IPv4Network("127.0.0.0/8")
LOOPBACK_V6: Final = IPv6Address("::1")

METADATA: Final = frozenset(
    ip_address(address)
    for address in (
        "169.254.169.254",  # AWS, Azure, Google Cloud and others
        "169.254.170.2",  # AWS, credentials of containers
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
        "168.63.129.16",  # Azure; a global address for `ipaddress`
        "192.0.0.192",  # Oracle Cloud
        "100.100.100.200",  # Alibaba Cloud; in the shared range
    )
)
"""Services that give a machine in a cloud its credentials: forbidden always."""

NOT_PUBLIC_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",  # the standard library calls some of it global
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)

_EMBEDS_LAST: Final = tuple(
    IPv6Network(network) for network in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
)
_6TO4: Final = IPv6Network("2002::/16")
_PUBLIC_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # Teredo among them, which hides an address of version 4
        "2001:db8::/32",
        "3fff::/20",
    )
)
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_32_BITS: Final = 0xFFFF_FFFF

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]
"""As `socket.getaddrinfo` gives it: family, type, protocol, canonical name, address."""


class ForbiddenAddress(OSError):
    """An address that requests may not reach. The text names no address, so that several of them make one error."""

    def __init__(self) -> None:
        super().__init__("the address is forbidden")


@dataclass(frozen=True, slots=True)
class Reach:
    """What a destination may reach beside public addresses; loopback is for demonstrations and tests alone."""

    allow_private: bool = False
    allow_loopback: bool = False

    def permits(self, address: str) -> bool:
        """Whether a literal address of version 4 or 6 may be reached; what is no address may not."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        if isinstance(found, IPv6Address):
            return self._permits_v6(IPv6Address(int(found)))  # without a zone, which makes another address of it
        return self._permits_v4(found)

    def open_socket(self, info: AddrInfo) -> socket.socket:
        """A socket for this address, not connected yet.

        Raises:
            ForbiddenAddress: the address may not be reached.

        """
        family, kind, protocol, _, address = info
        if family not in {socket.AF_INET, socket.AF_INET6} or not self.permits(str(address[0])):
            raise ForbiddenAddress
        return socket.socket(family, kind, protocol)

    def _permits_v4(self, address: IPv4Address) -> bool:
        if address in LOOPBACK_V4:
            return self.allow_loopback
        if address in METADATA or any(address in network for network in NOT_PUBLIC_V4):
            return False
        return self.allow_private or not any(address in network for network in PRIVATE_V4)

    def _permits_v6(self, address: IPv6Address) -> bool:
        if address == LOOPBACK_V6:
            return self.allow_loopback
        if address in METADATA or address == IPv6Address(0):
            return False
        translated = _translated(address)
        if translated is not None:
            return self._permits_v4(translated)
        tunnelled = _tunnelled(address)
        if tunnelled is not None and not self._permits_v4(tunnelled):
            return False
        if any(address in network for network in PRIVATE_V6):
            return self.allow_private
        return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def _translated(address: IPv6Address) -> IPv4Address | None:
    """The address of version 4 that a gateway or the system itself makes of this one, by its network."""
    number = int(address)
    if address in _6TO4:
        return IPv4Address(number >> 80 & _32_BITS)
    return IPv4Address(number & _32_BITS) if any(address in network for network in _EMBEDS_LAST) else None


def _tunnelled(address: IPv6Address) -> IPv4Address | None:
    """The address of version 4 to which a tunnel (ISATAP) may take this one; its network says where it is otherwise."""
    number = int(address)
    return IPv4Address(number & _32_BITS) if number >> 32 & _32_BITS in _ISATAP else None


SocketFactory = Callable[[AddrInfo], socket.socket]
