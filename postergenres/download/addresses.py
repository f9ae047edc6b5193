"""Refuse connections to this machine and its local network."""

import errno
import socket
from ipaddress import IPv6Address, IPv6Network, ip_address

# IPv6 addresses that lead to the IPv4 address in their last 32 bits: NAT64 (RFC 6052, RFC 8215),
# IPv4-translated (RFC 2765) and IPv4-compatible addresses (RFC 4291).
EMBEDDING = [
    IPv6Network(network)
    for network in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")
]


class NotPublic(OSError):
    """An address is not one of the public internet."""

    def __init__(self, address):
        super().__init__(errno.EACCES, f"{address} is not a public address")


def open_public_socket(address_info):
    """Return a new socket for a connection, the `socket_factory` of aiohttp's connector.

    aiohttp calls this with the address that it connects to. So the check holds for each redirect,
    and for a name that leads to another address the next time it is looked up.

    Args:
        address_info: an entry of `socket.getaddrinfo`.

    Raises:
        NotPublic: the address belongs to this machine or its local network, or is no IP address.
    """
    family, kind, protocol, _, (address, *_) = address_info
    if not is_public(address) or is_near(address, family):
        raise NotPublic(address)
    return socket.socket(family, kind, protocol)


def is_public(text):
    """Return whether a text is the IP address of a single host on the public internet."""
    try:
        address = ip_address(text)
    except ValueError:  # a name, or a number such as 2130706433, which is 127.0.0.1
        return False
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped or address.sixtofour:
            return is_public(str(address.ipv4_mapped or address.sixtofour))
        if any(address in network for network in EMBEDDING):
            return is_public(".".join(map(str, address.packed[-4:])))
        if address.is_site_local or address.scope_id:
            return False
    return address.is_global and not address.is_multicast


def is_near(text, family):
    """Return whether an address is this machine's, or in its own IPv6 network.

    Devices of a home network often have public IPv6 addresses, with the same first 64 bits.
    """
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((text, 9))  # sends nothing, but chooses the address to send from
            own = ip_address(probe.getsockname()[0])
    except OSError:  # no way to the address: the connection will fail, too
        return False
    other = ip_address(text)
    return own == other or (own.version == 6 and own.packed[:8] == other.packed[:8])
