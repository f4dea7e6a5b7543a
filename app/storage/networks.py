"""Which addresses may be connected to: no administrator of a district shall probe the operator's network.

A name is resolved once, every address that it has is looked at, and the connection goes to one of those very
addresses. A second look-up could give another answer (DNS rebinding).
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

KEYWORDS = {
    "loopback": ("127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128"),
    "link-local": ("169.254.0.0/16", "fe80::/10"),
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10"),
    "special": (
        *("192.0.0.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8"),
        *("64:ff9b:1::/48", "::ffff:0:0:0/96", "168.63.129.16/32"),
    ),
}
"""Short names of networks (IANA's special-purpose registries, RFC 6890). `0.0.0.0` is this machine on Linux;
link-local has the metadata service of clouds, `169.254.169.254`. The last line has translations to IPv4 that
are local to a network (RFC 8215, RFC 2765), however they put the address, and the agent of Azure's hosts."""
INTERNAL = "internal"
"""All of the keywords."""

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052; the last 32 bits are an IPv4 address."""
COMPATIBLE = ipaddress.IPv6Network("::/96")
"""IPv4-compatible addresses, of old (RFC 4291, section 2.5.5.1)."""


class AddressRefusedError(Exception):
    """The host has an address that may not be connected to, or none that is known: which, is not told."""


@dataclass(frozen=True)
class NetworkRules:
    """Networks that may not be reached, and the exceptions from them."""

    denied: tuple[Network, ...] = ()
    allowed: tuple[Network, ...] = ()

    def permit(self, address: Address) -> bool:
        """Tell whether `address` may be reached, and every IPv4 address that it stands for."""
        return all(
            _within(each, self.allowed) or not _within(each, self.denied) for each in _meanings(address)
        )


ANYWHERE = NetworkRules()


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks that `texts` name: a CIDR, an address or a keyword each.

    Raises ValueError that says what to give.
    """
    networks: list[Network] = []
    for text in texts:
        names = KEYWORDS if text == INTERNAL else (text,) if text in KEYWORDS else ()
        blocks = [block for name in names for block in KEYWORDS[name]] or [text]
        try:
            networks += [ipaddress.ip_network(block) for block in blocks]
        except ValueError as error:
            known = ", ".join([INTERNAL, *KEYWORDS])
            raise ValueError(f"{text!r} is no network such as 10.8.0.0/16, and none of {known}") from error
    return tuple(networks)


async def resolve(host: str, port: int, rules: NetworkRules) -> list[Any]:
    """Return the addresses of `host`, as `socket.getaddrinfo` has them, each of which may be connected to.

    Raises AddressRefusedError when one of them may not. While anything is denied, also for a name that is
    not known: otherwise the answer would tell the names of the inner network.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        if rules.denied:
            raise AddressRefusedError from None
        raise
    addresses = [ipaddress.ip_address(place[0]) for *_, place in found]
    if not all(rules.permit(address) for address in addresses):
        raise AddressRefusedError
    return found


async def open_socket(addresses: list[Any], seconds: float) -> socket.socket:
    """Return a connected socket to the first of `addresses` that answers; each has its share of `seconds`.

    Raises the last one's OSError, or TimeoutError.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    last: OSError = OSError("the host has no address")
    for number, (family, kind, protocol, _, place) in enumerate(addresses):
        remaining = deadline - loop.time()
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setblocking(False)
            async with asyncio.timeout(remaining / (len(addresses) - number)):
                await loop.sock_connect(opened, place)
        except OSError as error:  # TimeoutError is one
            opened.close()
            last = error
        except BaseException:
            opened.close()
            raise
        else:
            return opened
    raise last


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _meanings(address: Address) -> list[Address]:
    """Return the address, and the IPv4 addresses that it is another way to write, or a tunnel to."""
    if isinstance(address, IPv4Address):
        return [address]
    plain = IPv6Address(int(address))  # without a zone, which takes no part
    meanings: list[Address] = [plain]
    last = IPv4Address(int(plain) & 0xFFFFFFFF)
    if plain.ipv4_mapped:
        meanings = [plain.ipv4_mapped]
    elif plain.sixtofour:
        meanings.append(plain.sixtofour)
    elif plain.teredo:
        meanings += plain.teredo
    elif plain in NAT64 or (plain in COMPATIBLE and int(plain) > 1):
        meanings.append(last)
    return meanings
