"""Which addresses may be connected to: public ones. Everything that points inside is refused, in whatever disguise.

Registries: https://www.iana.org/assignments/iana-ipv4-special-registry and .../iana-ipv6-special-registry. An IPv6
address that carries an IPv4 address is judged by both. What no table names must lie in 2000::/3, the only space
given out for the public IPv6 internet. A name is resolved once for a connection, each address is judged, and the
connection goes to that very address; so a name that changes its answer between two questions gains nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from crawler.download.errors import AddressForbidden, TransferError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

RESOLVER_THREADS: Final = 16
"""Names looked up at once. Own threads: a dead name server must not hold up those that write to disk."""

LOOPBACK: Final = "loopback"
PRIVATE: Final = "private network"
METADATA: Final = "cloud metadata service"


def _networks(table: Mapping[str, str]) -> tuple[tuple[Network, str], ...]:
    """Networks in the order in which they are asked; a text may name several, separated by blanks."""
    return tuple((ip_network(net), why) for nets, why in table.items() for net in nets.split())


FORBIDDEN: Final = _networks(
    {
        # First, because no permission opens them.
        "169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 169.254.42.42": METADATA,
        "100.100.100.200 168.63.129.16 192.0.0.192": METADATA,
        "fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:42::42 fe80::a9fe:a9fe": METADATA,
        "127.0.0.0/8 ::1": LOOPBACK,
        "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16": PRIVATE,
        "0.0.0.0/8 ::": "this host on this network",
        "100.64.0.0/10": "carrier-grade NAT",
        "169.254.0.0/16 fe80::/10": "link-local",
        "192.0.0.0/24": "protocol assignments",
        "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20": "documentation",
        "192.88.99.0/24": "6to4 relay",
        "198.18.0.0/15 2001:2::/48": "benchmarking",
        "224.0.0.0/4 ff00::/8": "multicast",
        "255.255.255.255": "broadcast",
        "240.0.0.0/4": "reserved",
        "fc00::/7": "unique local",
        "fec0::/10": "site-local",
        "64:ff9b:1::/48": "local NAT64",
        # 2001::/23 without Teredo, which is the first /32 of it.
        "2001:1::/32 2001:2::/31 2001:4::/30 2001:8::/29 2001:10::/28 2001:20::/27": "protocol assignments",
        "2001:40::/26 2001:80::/25 2001:100::/24": "protocol assignments",
    }
)

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
TRANSLATED: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""Forms that stand for their IPv4 address on the public internet although outside of 2000::/3."""


def _low_bits(address: IPv6Address, shift: int = 0) -> IPv4Address:
    return IPv4Address(int(address) >> shift & 0xFFFFFFFF)


def _teredo_client(address: IPv6Address) -> IPv4Address:
    return IPv4Address(~int(address) & 0xFFFFFFFF)


ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})
"""Third quarter of an address of RFC 5214 6.1."""

EMBEDDED: Final[tuple[tuple[str, Callable[[IPv6Address], bool], Callable[[IPv6Address], IPv4Address]], ...]] = (
    ("IPv4-mapped", IPv6Network("::ffff:0:0/96").__contains__, _low_bits),
    ("IPv4-compatible", lambda address: 1 < int(address) < 1 << 32, _low_bits),
    ("NAT64", IPv6Network("64:ff9b::/96").__contains__, _low_bits),
    ("6to4", IPv6Network("2002::/16").__contains__, lambda address: _low_bits(address, 80)),
    ("Teredo server", IPv6Network("2001::/32").__contains__, lambda address: _low_bits(address, 64)),
    ("Teredo client", IPv6Network("2001::/32").__contains__, _teredo_client),
    ("ISATAP", lambda address: int(address) >> 32 & 0xFFFFFFFF in ISATAP, _low_bits),
)
"""IPv6 forms that carry an IPv4 address: name, test, the address carried."""


def why_forbidden(address: Address, *, allow_private: bool = False) -> str | None:
    """The kind of address that must not be connected to, or None for a public one.

    Args:
        address: what a name resolved to.
        allow_private: for tests: opens 127.0.0.0/8, ::1 and the private IPv4 networks, nothing else.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return "scoped"
        for form, is_form, carried in EMBEDDED:
            why = why_forbidden(carried(address)) if is_form(address) else None
            if why:
                return f"{form} form of {carried(address)}, {why}"
    for network, why in FORBIDDEN:
        if address in network:
            return None if allow_private and why in {LOOPBACK, PRIVATE} else why
    if isinstance(address, IPv6Address) and not any(address in net for net in (GLOBAL_UNICAST, *TRANSLATED)):
        return "outside the public IPv6 space"
    return None


def parse_resolve(setting: str) -> dict[str, Address]:
    """Reads KNOCKFIRST_RESOLVE: `host=address,...`, or `@file` with one `host=address` a line.

    Raises:
        ValueError: an item is not of this form; all faulty ones are named.
    """
    file = setting[1:] if setting.startswith("@") else None
    items = Path(file).read_text(encoding="utf-8").splitlines() if file else setting.split(",")
    addresses: dict[str, Address] = {}
    faults: list[str] = []
    for number, item in enumerate(items, start=1):
        text = item.strip()
        if not text or (file and text.startswith("#")):
            continue
        host, _, address = (part.strip() for part in text.partition("="))
        try:
            addresses[host.lower()] = ip_address(address)
        except ValueError:
            host = ""
        if not host:
            faults.append(f"{file or 'KNOCKFIRST_RESOLVE'}:{number}: {text!r} is not host=address")
    if faults:
        raise ValueError("\n".join(faults))
    return addresses


class AddressGuard:
    """Leads from a name to the addresses that may be connected to.

    Args:
        allow_private: see `why_forbidden`.
        resolve: for tests: the only names there are, with their addresses; no name server is asked.
    """

    def __init__(self, *, allow_private: bool = False, resolve: Mapping[str, Address] | None = None) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._threads: ThreadPoolExecutor | None = None

    async def addresses(self, host: str) -> tuple[Address, ...]:
        """The addresses of a name that may be connected to, in the resolver's order.

        Args:
            host: a name, or an address as it stands in a URL.

        Raises:
            AddressForbidden: there are addresses, and none of them is public.
            TransferError: "dns": there are none.
        """
        found = await self._look_up(host)
        public = tuple(address for address in found if self._why(address) is None)
        if not public:
            self.check(host, found[0])
        return public

    def check(self, host: str, address: Address) -> None:
        """Raises AddressForbidden for an address that must not be connected to."""
        why = self._why(address)
        if why is not None:
            raise AddressForbidden(host, str(address), why)

    def check_peer(self, host: str, peer: Address, checked: Address) -> None:
        """Raises AddressForbidden for a connection that does not end at the address that was checked."""
        self.check(host, peer)
        if peer != checked:
            raise AddressForbidden(host, str(peer), f"not {checked}, which was checked")

    def close(self) -> None:
        """Lets go of the resolver's threads; those that still ask end by themselves."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _why(self, address: Address) -> str | None:
        return why_forbidden(address, allow_private=self._allow_private)

    async def _look_up(self, host: str) -> tuple[Address, ...]:
        name = host.removeprefix("[").removesuffix("]").lower()
        try:
            return (ip_address(name),)
        except ValueError:
            pass
        if self._resolve is not None:
            found: Iterable[Address] = [self._resolve[name]] if name in self._resolve else []
        else:
            found = await self._ask_system(name)
        addresses = tuple(dict.fromkeys(found))
        if not addresses:
            raise TransferError("dns", host, "the name has no address")
        return addresses

    async def _ask_system(self, name: str) -> list[Address]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolver")
        loop = asyncio.get_running_loop()
        try:
            # As bytes: Python's own IDNA codec would see to a str, and canonical URLs hold A-labels already.
            answer = await loop.run_in_executor(self._threads, _getaddrinfo, name.encode("ascii"))
        except (OSError, ValueError) as error:
            raise TransferError("dns", name, str(error)) from error
        return [_from_sockaddr(sockaddr) for *_, sockaddr in answer]


def _getaddrinfo(name: bytes) -> list[tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]]:
    return socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)  # type: ignore[return-value]


def _from_sockaddr(sockaddr: tuple[object, ...]) -> Address:
    """The address of a socket name; an IPv6 scope given as a number stays visible."""
    text = str(sockaddr[0])
    scope = sockaddr[3] if len(sockaddr) == 4 else 0  # noqa: PLR2004 - (address, port, flow, scope)
    return ip_address(f"{text}%{scope}" if scope and "%" not in text else text)


def peer_address(sock: socket.socket) -> Address:
    """The address that a socket is connected to."""
    return _from_sockaddr(sock.getpeername())
