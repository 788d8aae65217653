#include "wire/proxy_line.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

enum { V1_BYTES = 107, V2_HEAD_BYTES = 16, V2_PORTS_BYTES = 4 };

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

void proxy_line_init(struct proxy_line *p)
{
	*p = (struct proxy_line){ .state = PROXY_LINE_MORE };
}

static unsigned number_at(const char *at)
{
	return (unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

/* --- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25" CR LF */

static bool read_port(struct span s, unsigned *port_out)
{
	uint64_t port;

	if (s.size > 5 || (s.size > 1 && s.at[0] == '0') || !span_number(s, &port) || port > 65535)
		return false;
	*port_out = (unsigned)port;
	return true;
}

/* Reads an address and writes it in its one spelling. */
static bool read_address(int family, struct span s, char address_out[PROXY_LINE_ADDRESS_BYTES])
{
	char text[PROXY_LINE_ADDRESS_BYTES], bytes[16];

	if (s.size >= sizeof text || span_find_byte(s, '\0') != s.size)
		return false;
	memcpy(text, s.at, s.size);
	text[s.size] = '\0';
	return inet_pton(family, text, bytes) == 1 && inet_ntop(family, bytes, address_out, PROXY_LINE_ADDRESS_BYTES);
}

static bool read_v1(struct proxy_line *p, struct span line)
{
	struct span word[6];
	char destination[PROXY_LINE_ADDRESS_BYTES];
	unsigned destination_port;
	size_t count = 0;
	int family;

	while (count < 6 && span_cut(&line, ' ', &word[count]))
		count++;
	if (count >= 2 && span_equal(word[1], SPAN("UNKNOWN"))) {
		p->is_local = true;
		return true;
	}
	if (count != 6 || line.at)
		return false;
	if (!span_equal(word[1], SPAN("TCP4")) && !span_equal(word[1], SPAN("TCP6")))
		return false;
	family = word[1].at[3] == '4' ? AF_INET : AF_INET6;
	return read_address(family, word[2], p->address) && read_address(family, word[3], destination) &&
	       read_port(word[4], &p->port) && read_port(word[5], &destination_port);
}

static bool take_v1(struct proxy_line *p)
{
	static const char start[] = "PROXY ";
	size_t known = p->size < 6 ? p->size : 6;

	if (memcmp(p->bytes, start, known) != 0 || p->size > V1_BYTES)
		return false;
	if (p->bytes[p->size - 1] != '\n')
		return true;
	if (p->size < 8 || p->bytes[p->size - 2] != '\r' || !read_v1(p, (struct span){ p->bytes, p->size - 2 }))
		return false;
	p->state = PROXY_LINE_DONE;
	return true;
}

/* --- version 2: signature, version and command, family, size; addresses; further values, which are passed over */

static bool read_v2(struct proxy_line *p)
{
	unsigned command = (unsigned char)p->bytes[12], family = (unsigned char)p->bytes[13];
	size_t size = p->size - V2_HEAD_BYTES, address_size = family == 0x11 ? 4 : 16;
	const char *at = p->bytes + V2_HEAD_BYTES;

	if (command == 0x20 || (command == 0x21 && family == 0)) {
		p->is_local = true;
		return true;
	}
	if (command != 0x21 || (family != 0x11 && family != 0x21) || size < 2 * address_size + V2_PORTS_BYTES)
		return false;
	p->port = number_at(at + 2 * address_size);
	return inet_ntop(family == 0x11 ? AF_INET : AF_INET6, at, p->address, sizeof p->address) != NULL;
}

static bool take_v2(struct proxy_line *p)
{
	size_t known = p->size < sizeof v2_signature ? p->size : sizeof v2_signature;

	if (memcmp(p->bytes, v2_signature, known) != 0)
		return false;
	if (p->size == V2_HEAD_BYTES)
		p->wanted = V2_HEAD_BYTES + number_at(p->bytes + 14);
	if (p->wanted > sizeof p->bytes)
		return false;
	if (p->size < V2_HEAD_BYTES || p->size < p->wanted)
		return true;
	if (!read_v2(p))
		return false;
	p->state = PROXY_LINE_DONE;
	return true;
}

size_t proxy_line_feed(struct proxy_line *p, struct span bytes)
{
	size_t taken = 0;

	while (p->state == PROXY_LINE_MORE && taken < bytes.size) {
		p->bytes[p->size++] = bytes.at[taken++];
		if (!(p->bytes[0] == 'P' ? take_v1(p) : take_v2(p)))
			p->state = PROXY_LINE_BROKEN;
	}
	return taken;
}
