/* loop/real/resolv.h - the texts of resolv.conf and hosts, read.
 *
 * Why       The keeper reads the files; c-ares must open none, since it asks after confinement.
 * Promise   Unknown lines and options are passed over, as resolv.conf(5) wants.
 * Owns      Nothing; what it gives is copied or points into the text.
 * Refuses   More than RESOLV_SERVERS_MAX servers and RESOLV_DOMAINS_MAX domains: the rest is passed over.
 * See       resolv.conf(5), hosts(5) */
#pragma once
#include "base/buf.h"
#include "loop/address.h"

enum { RESOLV_SERVERS_MAX = 8, RESOLV_DOMAINS_MAX = 6, RESOLV_NAME_BYTES = 256 };

struct resolv {
	struct address servers[RESOLV_SERVERS_MAX]; /* port 53 where none is given, as in "[192.0.2.1]:5353" */
	size_t server_count;
	char domains[RESOLV_DOMAINS_MAX][RESOLV_NAME_BYTES];
	size_t domain_count;
	int ndots, timeout_ms, tries;
	bool rotate;
};

/* Reads the text of resolv.conf; what it leaves open is as resolv.conf(5) has it, with 127.0.0.1 where it names no server. */
void resolv_read(struct resolv *out, struct span text);

/* Calls `each` for every address that the hosts text gives to the name, compared without case. */
void resolv_hosts(struct span text, struct span name, void (*each)(void *self, const struct address *), void *self);
