/* loop/address.h - where a socket is: IPv4, IPv6 or a path in the file system; and networks of such.
 *
 * Why       One value for all families, printable and comparable.
 * Promise   An IPv4 address mapped into IPv6 is read as IPv4, so that one rule covers both.
 * Owns      Nothing.
 * Refuses   Host names: loop/dns.h turns those into addresses. */
#pragma once
#include "base/buf.h"

struct address {
	enum { ADDRESS_NONE, ADDRESS_IPV4, ADDRESS_IPV6, ADDRESS_PATH } family;
	unsigned char bytes[16];
	uint32_t scope;
	uint16_t port;
	char path[108];
};

/* "192.0.2.1", "2001:db8::1", "[2001:db8::1]" or "/run/x.sock"; `port` is kept. False: it is none. */
bool address_parse(struct address *out, struct span text, uint16_t port);

/* "192.0.2.1", "2001:db8::1"; with `with_port` "192.0.2.1:25", "[2001:db8::1]:25". */
bool address_print(struct buf *out, const struct address *, bool with_port);

/* Whether it is 127.0.0.0/8, ::1 or a path. */
bool address_is_loopback(const struct address *);

/* Whether no other machine's name can rightly mean it: loopback, 0.0.0.0/8, link-local (where clouds keep their secrets), multicast, reserved, and
 * IPv6 addresses that hold one of those (RFC 6890, RFC 6052). Private networks are not meant: a provider may be on one's own. */
bool address_is_nobody_else(const struct address *);
bool address_equal(const struct address *, const struct address *);

/* A network such as "10.0.0.0/8", "2001:db8::/32", or one address. */
struct network {
	struct address base;
	unsigned bits;
};

/* False for anything malformed, or with bits set behind the prefix. */
bool network_parse(struct network *out, struct span text);
bool network_holds(const struct network *, const struct address *);
