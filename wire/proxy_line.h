/* wire/proxy_line.h - the PROXY protocol header that a balancer sends ahead of a session.
 *
 * Why       Behind a balancer the socket's peer is the balancer; trusted networks and throttles need the client.
 * Promise   Takes not one byte beyond the header. The caller asks for it only on sockets from listed balancers.
 * Owns      Nothing.
 * Refuses   Anything but a whole version 1 or 2 header: PROXY_LINE_BROKEN. There is no guessing whether one is there.
 * See       haproxy.org/download/2.6/doc/proxy-protocol.txt */
#pragma once
#include "base/span.h"

enum { PROXY_LINE_BYTES = 4096, PROXY_LINE_ADDRESS_BYTES = 46 };

enum proxy_line_state { PROXY_LINE_MORE, PROXY_LINE_DONE, PROXY_LINE_BROKEN };

struct proxy_line {
	enum proxy_line_state state;
	char bytes[PROXY_LINE_BYTES];
	size_t size, wanted;

	/* When done. */
	bool is_local; /* the balancer's own (a health check), or UNKNOWN: keep the socket's address */
	char address[PROXY_LINE_ADDRESS_BYTES]; /* of the client, as inet_ntop writes it */
	unsigned port;
};

/* Starts. */
void proxy_line_init(struct proxy_line *);

/* Takes bytes up to the end of the header; returns how many it took. `state` says what came of it. */
size_t proxy_line_feed(struct proxy_line *, struct span bytes);
