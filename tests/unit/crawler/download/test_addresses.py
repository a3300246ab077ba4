"""The address guard: what is public, what points inside, in every disguise that an address can wear."""

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.download.addresses import AddressGuard, parse_resolve, why_forbidden
from crawler.download.errors import AddressForbidden, TransferError

PUBLIC = """
    1.1.1.1 8.8.8.8 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255 169.255.0.0
    172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    2606:4700:4700::1111 2a00:1450:4001::1 2001:4860:4860::8888 2001:200::1
    ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::1 2001:0:808:808:0:0:f7f7:f7f7
"""

INSIDE = {
    "loopback": "127.0.0.0 127.0.0.1 127.255.255.255 ::1",
    "private network": "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255",
    "this host on this network": "0.0.0.0 0.255.255.255 ::",
    "carrier-grade NAT": "100.64.0.0 100.127.255.255",
    "link-local": "169.254.0.0 169.254.255.255 fe80::1 febf::1",
    "cloud metadata service": "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192"
    " fd00:ec2::254 fd20:ce::254 fe80::a9fe:a9fe",
    "documentation": "192.0.2.1 198.51.100.1 203.0.113.255 2001:db8::1 3fff::1",
    "benchmarking": "198.18.0.0 198.19.255.255 2001:2::1",
    "multicast": "224.0.0.1 239.255.255.255 ff02::1",
    "reserved": "240.0.0.0 255.255.255.254",
    "broadcast": "255.255.255.255",
    "protocol assignments": "192.0.0.1 2001:1::1 2001:3::1 2001:4:112::1 2001:20::1 2001:1ff:ffff::1",
    "6to4 relay": "192.88.99.1",
    "unique local": "fc00::1 fdff::1",
    "site-local": "fec0::1 feff::1",
    "local NAT64": "64:ff9b:1::7f00:1 64:ff9b:1:ffff::1",
    "scoped": "fe80::1%eth0 2606:4700::1%1 ::1%lo",
    "outside the public IPv6 space": "100::1 4000::1 5f00::1 64:ff9b:2::1 ::ffff:0:808:808 e000::1",
    "IPv4-mapped form of 127.0.0.1, loopback": "::ffff:127.0.0.1",
    "IPv4-mapped form of 169.254.169.254, cloud metadata service": "::ffff:a9fe:a9fe",
    "IPv4-compatible form of 10.0.0.1, private network": "::10.0.0.1",
    "NAT64 form of 192.168.1.1, private network": "64:ff9b::192.168.1.1",
    "6to4 form of 127.0.0.1, loopback": "2002:7f00:1::1",
    "Teredo server form of 10.0.0.1, private network": "2001:0:a00:1:0:0:f7f7:f7f7",
    "Teredo client form of 127.0.0.1, loopback": "2001:0:808:808:0:0:80ff:fffe",
    "ISATAP form of 10.0.0.1, private network": "2606:4700::5efe:a00:1 2606:4700::200:5efe:a00:1",
}


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_address_is_allowed(address: str):
    assert why_forbidden(ip_address(address)) is None


@pytest.mark.parametrize(("why", "address"), [(why, one) for why, all_ in INSIDE.items() for one in all_.split()])
def test_address_that_points_inside_is_refused(why: str, address: str):
    assert why_forbidden(ip_address(address)) == why


def test_ipv4_compatible_form_of_a_public_address_is_refused():
    assert why_forbidden(ip_address("::8.8.8.8")) == "outside the public IPv6 space"


@pytest.mark.parametrize(("why", "address"), [(why, one) for why, all_ in INSIDE.items() for one in all_.split()])
def test_permission_for_tests_opens_loopback_and_private_networks_only(why: str, address: str):
    allowed = why_forbidden(ip_address(address), allow_private=True) is None
    assert allowed is (why in {"loopback", "private network"})


@given(st.ip_addresses(v=4))
def test_ipv4_address_that_python_calls_private_is_refused(address: IPv4Address):
    if not address.is_global or address.is_multicast:
        assert why_forbidden(address)


@given(st.one_of(st.ip_addresses(v=6), st.ip_addresses(v=6, network="::/64"), st.ip_addresses(v=6, network="64::/16")))
def test_ipv6_address_outside_of_global_unicast_is_allowed_only_for_the_public_ipv4_address_in_it(address: IPv6Address):
    if int(address) >> 125 != 1 and why_forbidden(address) is None:
        assert str(address).startswith(("::ffff:", "64:ff9b::"))
        assert why_forbidden(IPv4Address(int(address) & 0xFFFFFFFF)) is None


def lookup(guard: AddressGuard, host: str) -> list[str]:
    return [str(address) for address in asyncio.run(guard.addresses(host))]


def fake_resolver(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[object, ...]) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)


def test_name_gives_its_public_addresses_once_and_in_order(monkeypatch: pytest.MonkeyPatch):
    answer = [("2606:4700::1", 0, 0, 0), ("127.0.0.1", 0), ("8.8.8.8", 0), ("8.8.8.8", 0), ("2606:4700::2", 0, 0, 3)]
    fake_resolver(monkeypatch, *answer)
    guard = AddressGuard()
    assert lookup(guard, "site.example") == ["2606:4700::1", "8.8.8.8"]
    guard.close()
    assert lookup(guard, "site.example") == ["2606:4700::1", "8.8.8.8"]
    guard.close()
    guard.close()


def test_name_that_leads_inside_only_is_forbidden(monkeypatch: pytest.MonkeyPatch):
    fake_resolver(monkeypatch, ("10.0.0.1", 0), ("::1", 0, 0, 0))
    guard = AddressGuard()
    with pytest.raises(AddressForbidden) as caught:
        lookup(guard, "site.example")
    guard.close()
    assert (caught.value.host, caught.value.address, caught.value.why) == (
        "site.example",
        "10.0.0.1",
        "private network",
    )
    assert caught.value.reason == "address"


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_name_without_an_address_is_a_dns_failure(monkeypatch: pytest.MonkeyPatch, error: Exception):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    guard = AddressGuard()
    for host in ("site.example", "größe.example"):
        with pytest.raises(TransferError) as caught:
            lookup(guard, host)
        assert caught.value.reason == "dns"
    guard.close()


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost"])
def test_odd_spelling_of_loopback_is_forbidden_after_resolution(host: str):
    guard = AddressGuard()
    with pytest.raises(AddressForbidden):
        lookup(guard, host)
    guard.close()


def test_mapping_is_the_only_source_of_names_and_is_judged_like_any_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    resolve = parse_resolve("a.example=127.0.0.9, B.example = 8.8.8.8 ,meta.example=169.254.169.254")
    guard = AddressGuard(resolve=resolve, allow_private=True)
    assert lookup(guard, "a.example") == ["127.0.0.9"]
    assert lookup(guard, "B.EXAMPLE") == ["8.8.8.8"]
    with pytest.raises(AddressForbidden, match="metadata"):
        lookup(guard, "meta.example")
    with pytest.raises(TransferError, match="no address"):
        lookup(guard, "elsewhere.example")
    with pytest.raises(AddressForbidden):
        lookup(AddressGuard(resolve=resolve), "a.example")


def test_mapping_from_a_file_has_one_name_a_line(tmp_path: Path):
    file = tmp_path / "hosts"
    file.write_text("# demo\n\na.example=127.0.0.9\nb.example=::1\n")
    assert parse_resolve(f"@{file}") == {"a.example": ip_address("127.0.0.9"), "b.example": ip_address("::1")}


def test_faulty_mapping_names_every_fault(tmp_path: Path):
    file = tmp_path / "hosts"
    file.write_text("a.example=127.0.0.9\nb.example\nc.example=300.0.0.1\n=127.0.0.1\n")
    with pytest.raises(ValueError, match="is not host=address") as caught:
        parse_resolve(f"@{file}")
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == [f"{file}:{n}:" for n in (2, 3, 4)]


def test_peer_that_is_not_the_address_checked_is_forbidden():
    guard = AddressGuard(allow_private=True)
    guard.check_peer("a.example", ip_address("127.0.0.9"), ip_address("127.0.0.9"))
    with pytest.raises(AddressForbidden, match="which was checked"):
        guard.check_peer("a.example", ip_address("127.0.0.8"), ip_address("127.0.0.9"))
    with pytest.raises(AddressForbidden, match="metadata"):
        guard.check_peer("a.example", ip_address("169.254.169.254"), ip_address("169.254.169.254"))
