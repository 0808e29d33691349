"""Which addresses requests to destinations may reach."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestor.delivery.guard import ForbiddenAddress, Reach

PUBLIC = Reach()
OPEN = Reach(allow_private=True)
LOCAL = Reach(allow_loopback=True)
EVERYTHING = Reach(allow_private=True, allow_loopback=True)

ALWAYS = [
    *("0.0.0.0", "0.1.2.3", "::"),
    *("169.254.0.1", "169.254.169.254", "169.254.170.2", "fe80::1", "fe80::1%eth0", "fe80::a9fe:a9fe"),
    *("168.63.129.16", "192.0.0.192", "192.0.0.1", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254"),
    *("224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "ff02::1", "ff0e::1"),
    *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1", "100::1"),
    *("fe80::5efe:808:808", "ff02::5efe:808:808", "fec0::200:5efe:808:808", "fd00:ec2::254%1", "fd20:ce::254%eth0"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "fec0::1", "64:ff9b:1::7f00:1", "4000::1", "5f00::1"),
]
PRIVATE = [
    *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.127.255.255"),
    *("fd12:3456::1", "fd12:3456::1%eth0", "fd12:3456::5efe:808:808"),
]
LOOPBACK = ["127.0.0.1", "127.1.2.3", "127.255.255.255", "::1"]
ALLOWED = ["8.8.8.8", "189.9.1.1", "172.15.0.1", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2600:1f18::1", "2a00::1"]


@pytest.mark.parametrize("address", ALWAYS)
def test_some_addresses_are_never_reached(address: str) -> None:
    for reach in (PUBLIC, OPEN, LOCAL, EVERYTHING):
        assert not reach.permits(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_reached_where_the_destination_allows_it(address: str) -> None:
    assert [reach.permits(address) for reach in (PUBLIC, LOCAL, OPEN, EVERYTHING)] == [False, False, True, True]


@pytest.mark.parametrize("address", LOOPBACK)
def test_loopback_is_not_private_and_wants_a_permission_of_its_own(address: str) -> None:
    assert [reach.permits(address) for reach in (PUBLIC, OPEN, LOCAL, EVERYTHING)] == [False, False, True, True]


@pytest.mark.parametrize("address", ALLOWED)
def test_public_addresses_are_reached(address: str) -> None:
    assert PUBLIC.permits(address)


def embeddings(v4: str) -> list[str]:
    a, b, c, d = (int(part) for part in v4.split("."))
    high, low = f"{a << 8 | b:x}", f"{c << 8 | d:x}"
    return [
        f"::ffff:{v4}",
        f"::ffff:0:{high}:{low}",
        f"::{high}:{low}",
        f"64:ff9b::{high}:{low}",
        f"2002:{high}:{low}::",
        f"2002:{high}:{low}::5",
        f"2600::5efe:{high}:{low}",
        f"2600::200:5efe:{high}:{low}",
    ]


@pytest.mark.parametrize("v4", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "168.63.129.16", "224.0.0.1", "8.8.8.8"])
@pytest.mark.parametrize("reach", [PUBLIC, OPEN, LOCAL, EVERYTHING])
def test_an_address_of_version_4_inside_version_6_is_what_it_holds(v4: str, reach: Reach) -> None:
    for address in embeddings(v4):
        assert reach.permits(address) == reach.permits(v4), address


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "2130706433", "0x7f.1", "127.0.0.1:80", "127.0.0.1 "])
def test_what_is_no_address_is_not_reached(text: str) -> None:
    assert not EVERYTHING.permits(text)


@given(st.ip_addresses(v=6))
def test_every_address_of_version_6_has_an_answer(address: object) -> None:
    if not Reach().permits(str(address)):
        return
    assert OPEN.permits(str(address))


@pytest.mark.enable_socket
def test_a_socket_is_opened_for_a_permitted_address_alone() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 1))
    LOCAL.open_socket(info).close()
    with pytest.raises(ForbiddenAddress, match="the address is forbidden"):
        OPEN.open_socket(info)
    with pytest.raises(ForbiddenAddress):
        EVERYTHING.open_socket((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", ("/run/x.sock",)))
