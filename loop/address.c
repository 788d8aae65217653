#include "loop/address.h"

#include "loop/local_user.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* "fe80::1%eth0", "fe80::1%2" (RFC 4007 11) */
static bool read_scope(struct address *out, struct span scope)
{
	char name[IF_NAMESIZE] = "";
	uint64_t number;

	if (!scope.size || scope.size >= sizeof name)
		return false;
	if (span_number(scope, &number) && number <= UINT32_MAX) {
		out->scope = (uint32_t)number;
		return true;
	}
	memcpy(name, scope.at, scope.size);
	out->scope = if_nametoindex(name);
	return out->scope != 0;
}

static bool read_ip(struct address *out, struct span text)
{
	char copy[INET6_ADDRSTRLEN + 1] = "";
	size_t percent = span_find_byte(text, '%');
	struct span scope = span_slice(text, percent + 1, text.size);

	if (!percent || percent >= sizeof copy || memchr(text.at, '\0', text.size))
		return false;
	memcpy(copy, text.at, percent);
	if (inet_pton(AF_INET, copy, out->bytes) == 1) {
		out->family = ADDRESS_IPV4;
		return percent == text.size;
	}
	if (inet_pton(AF_INET6, copy, out->bytes) != 1)
		return false;
	out->family = ADDRESS_IPV6;
	if (percent < text.size)
		return read_scope(out, scope);
	if (!memcmp(out->bytes, mapped, sizeof mapped)) {
		memmove(out->bytes, out->bytes + 12, 4);
		memset(out->bytes + 4, 0, 12);
		out->family = ADDRESS_IPV4;
	}
	return true;
}

bool address_parse(struct address *out, struct span text, uint16_t port)
{
	struct address a = { .port = port };

	*out = (struct address){ 0 };
	if (span_starts(text, SPAN("/"))) {
		if (text.size >= sizeof a.path || memchr(text.at, '\0', text.size))
			return false;
		a.family = ADDRESS_PATH;
		memcpy(a.path, text.at, text.size);
		*out = a;
		return true;
	}
	if (text.size > 2 && text.at[0] == '[') {
		if (text.at[text.size - 1] != ']' || span_find_byte(text, ':') == text.size)
			return false;
		text = span_slice(text, 1, text.size - 2);
	}
	if (!read_ip(&a, text))
		return false;
	*out = a;
	return true;
}

static bool print_ip(struct buf *out, const struct address *a, bool with_port)
{
	char text[INET6_ADDRSTRLEN];
	bool six = a->family == ADDRESS_IPV6, good;

	inet_ntop(six ? AF_INET6 : AF_INET, a->bytes, text, sizeof text);
	good = (!six || !with_port || buf_put_byte(out, '[')) && buf_put(out, span_of(text));
	if (six && a->scope)
		good = good && buf_print(out, "%%%u", (unsigned)a->scope);
	if (six && with_port)
		good = good && buf_put_byte(out, ']');
	return good && (!with_port || buf_print(out, ":%u", a->port));
}

bool address_print(struct buf *out, const struct address *a, bool with_port)
{
	if (a->family == ADDRESS_PATH)
		return buf_put(out, span_of(a->path));
	return a->family != ADDRESS_NONE && print_ip(out, a, with_port);
}

bool address_is_loopback(const struct address *a)
{
	static const unsigned char one[16] = { [15] = 1 };

	switch (a->family) {
	case ADDRESS_IPV4: return a->bytes[0] == 127;
	case ADDRESS_IPV6: return !memcmp(a->bytes, one, sizeof one);
	case ADDRESS_PATH: return true;
	default: return false;
	}
}

static bool is_nobody_else_4(const unsigned char bytes[4])
{
	return bytes[0] == 0 || bytes[0] == 127 || (bytes[0] == 169 && bytes[1] == 254) || bytes[0] >= 224;
}

bool address_is_nobody_else(const struct address *a)
{
	static const unsigned char compatible[12], nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	const unsigned char *b = a->bytes;

	switch (a->family) {
	case ADDRESS_IPV4: return is_nobody_else_4(b);
	case ADDRESS_IPV6:
		return !memcmp(b, compatible, sizeof compatible) || b[0] == 0xff || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
		       (!memcmp(b, nat64, sizeof nat64) && is_nobody_else_4(b + 12));
	default: return true;
	}
}

bool address_equal(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == ADDRESS_PATH)
		return !strcmp(a->path, b->path);
	return a->port == b->port && a->scope == b->scope &&
	       !memcmp(a->bytes, b->bytes, a->family == ADDRESS_IPV4 ? 4 : 16);
}

static bool equal_bits(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole))
		return false;
	return !rest || !((a[whole] ^ b[whole]) >> (8 - rest));
}

/* Nothing set behind the prefix: 10.0.0.1/8 is a slip, and guessing what was meant would open too much. */
static bool is_clean(const struct network *n, unsigned width)
{
	unsigned char zeros[16] = { 0 }, tail[16];

	memcpy(tail, n->base.bytes, sizeof tail);
	memset(tail, 0, n->bits / 8);
	if (n->bits % 8)
		tail[n->bits / 8] &= (unsigned char)(0xff >> n->bits % 8);
	return !memcmp(tail, zeros, width / 8);
}

/* "uid:1000"; "uid:0/0" is everybody, and nothing between makes sense. */
static bool parse_users(struct network *out, struct span text)
{
	bool is_all = span_equal(text, SPAN("uid:0/0"));

	*out = (struct network){ .bits = is_all ? 0 : 32 };
	return local_user_parse(&out->base, is_all ? SPAN("uid:0") : text);
}

bool network_parse(struct network *out, struct span text)
{
	size_t slash = span_find_byte(text, '/');
	struct span size = span_slice(text, slash + 1, text.size), base = span_slice(text, 0, slash);
	struct network n = { 0 };
	uint64_t bits;
	unsigned width;

	if (parse_users(out, text))
		return true;
	*out = n;
	if (!address_parse(&n.base, base, 0) || n.base.family == ADDRESS_PATH)
		return false;
	width = n.base.family == ADDRESS_IPV4 ? 32 : 128;
	bits = width;
	if (slash < text.size && !span_number(size, &bits))
		return false;
	if (slash < text.size && width == 32 && span_find_byte(base, ':') < base.size)
		bits = bits < 96 ? UINT64_MAX : bits - 96; /* ::ffff:10.0.0.0/104 */
	if (bits > width)
		return false;
	n.bits = (unsigned)bits;
	if (!is_clean(&n, width))
		return false;
	*out = n;
	return true;
}

static bool holds_user(const struct network *n, const struct address *a)
{
	uint32_t base, uid;

	return local_user_is(&n->base, &base) && local_user_is(a, &uid) && (!n->bits || base == uid);
}

bool network_holds(const struct network *n, const struct address *a)
{
	if (n->base.family == ADDRESS_PATH)
		return holds_user(n, a);
	if (n->base.family != a->family || (a->family != ADDRESS_IPV4 && a->family != ADDRESS_IPV6))
		return false;
	return equal_bits(n->base.bytes, a->bytes, n->bits) && (!n->base.scope || n->base.scope == a->scope);
}
