"""Which IP addresses are part of the public internet."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

_Address = IPv4Address | IPv6Address

# Beyond what the standard library, in some version or other, does not call global.
_NOT_PUBLIC_4 = tuple(
    ip_network(block)
    for block in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/3"),
    )
)
# The internet of IPv6. What maps or translates IPv4 (::ffff:0:0/96, 64:ff9b::/96 and its local kin) lies outside.
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ip_network(block)
    for block in (
        # Teredo, ORCHID and other protocols; documentation; 6to4, which holds an IPv4 address; the second
        # documentation block.
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
# The interface identifiers of ISATAP, whose last half is an IPv4 address.
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet and to one host; false for anything else.

    Addresses that embed an IPv4 address are refused whatever that one is: a gateway may lead to it.
    """
    try:
        address: _Address = ip_address(text)
    except ValueError:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _NOT_PUBLIC_4)
    embeds = (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP
    return address in _UNICAST_6 and not embeds and not any(address in block for block in _NOT_PUBLIC_6)
