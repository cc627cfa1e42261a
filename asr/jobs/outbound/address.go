package outbound

import "net/netip"

// prefixes parses a list of them.
func prefixes(list ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(list))
	for i, p := range list {
		parsed[i] = netip.MustParsePrefix(p)
	}
	return parsed
}

// What is not public, after IANA's registries of special-purpose addresses (RFC 6890). Of IPv6 only global6 is public at all.
var (
	special4 = prefixes(
		"0.0.0.0/8",        // this host on this network, RFC 791
		"10.0.0.0/8",       // private, RFC 1918
		"100.64.0.0/10",    // shared by carriers (CGNAT), RFC 6598; Alibaba's metadata
		"127.0.0.0/8",      // loopback, RFC 1122
		"168.63.129.16/32", // Azure's host, public by its number alone
		"169.254.0.0/16",   // link-local, RFC 3927; the metadata of most clouds
		"172.16.0.0/12",    // private, RFC 1918
		"192.0.0.0/24",     // protocol assignments, RFC 6890; Oracle's metadata
		"192.0.2.0/24",     // documentation, RFC 5737
		"192.88.99.0/24",   // relays of 6to4, RFC 7526
		"192.168.0.0/16",   // private, RFC 1918
		"198.18.0.0/15",    // benchmarks, RFC 2544
		"198.51.100.0/24",  // documentation, RFC 5737
		"203.0.113.0/24",   // documentation, RFC 5737
		"224.0.0.0/4",      // multicast, RFC 1112
		"240.0.0.0/4",      // reserved, RFC 1112, and broadcast
	)
	global6  = netip.MustParsePrefix("2000::/3") // global unicast, RFC 4291: neither ::, ::1, ::/96, fc00::/7, fe80::/10, fec0::/10 nor ff00::/8
	special6 = prefixes(                         // of global6
		"2001::/23",     // protocol assignments, RFC 2928, among them Teredo, which holds IPv4 addresses
		"2001:db8::/32", // documentation, RFC 3849
		"2002::/16",     // 6to4, RFC 3056, which holds IPv4 addresses, and is no more (RFC 7526)
		"3fff::/20",     // documentation, RFC 9637
	)
	nat64 = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last four bytes are an IPv4 address
)

// public reports whether an address is one of the Internet's, reached by everybody alike.
func public(ip netip.Addr) bool {
	if ip.Zone() != "" {
		return false
	}
	if ip = ip.Unmap(); ip.Is6() && nat64.Contains(ip) {
		b := ip.As16()
		ip = netip.AddrFrom4([4]byte(b[12:]))
	}
	special := special4
	if ip.Is6() {
		if special = special6; !global6.Contains(ip) {
			return false
		}
	}
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return ip.IsValid()
}
