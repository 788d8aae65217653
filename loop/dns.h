/* loop/dns.h - names to addresses, without blocking.
 *
 * Why       libuv's resolver shares a thread pool and loads modules; c-ares does neither after its start.
 * Promise   `done` is called exactly once unless cancelled, never from inside dns_resolve().
 * Owns      Its sockets and a cache that keeps answers for at most 60 s.
 * Refuses   Names over 253 bytes; answers later than 10 s.
 * See       loop/real/dns.c (c-ares), loop/fake/dns.c (a table given by the scenario) */
#pragma once
#include "base/fault.h"
#include "loop/address.h"
#include "loop/loop.h"

struct dns;
struct dns_question;

enum { DNS_ADDRESSES_MAX = 16, DNS_EXCHANGERS_MAX = 8, DNS_NAME_BYTES = 254 };

struct dns_answer {
	enum fault fault; /* FAULT_OK, FAULT_NO_ADDRESS, FAULT_ADDRESS_OWN, FAULT_TIMEOUT */
	size_t count;
	struct address addresses[DNS_ADDRESSES_MAX]; /* IPv6 and IPv4 in turn, as RFC 8305 4 wants */
};

/* The hosts that take mail for a domain, the preferred one first (RFC 5321 5.1). A domain without MX records is its own. */
struct dns_exchangers {
	enum fault fault; /* FAULT_OK, FAULT_NO_ADDRESS (no such domain, or it takes no mail: RFC 7505), FAULT_TIMEOUT */
	size_t count;
	char hosts[DNS_EXCHANGERS_MAX][DNS_NAME_BYTES];
};

/* `resolv_conf` is the text of that file, read by the keeper; empty means 127.0.0.1. "localhost" and literals need no server.
 * `hosts` is the text of /etc/hosts. */
struct dns *dns_new(struct loop *, struct span resolv_conf, struct span hosts);
void dns_free(struct dns **);

/* Asks for A and AAAA; the port is put into each address. What a name server says is no way to this machine itself or its
 * link (address_is_nobody_else()): that would let whoever owns a name speak to services here in our name. */
struct dns_question *dns_resolve(struct dns *, struct span host, uint16_t port,
				 void (*done)(void *self, const struct dns_answer *), void *self);

/* Asks for MX. Hosts that are addresses, or names of this machine, are left out: whoever owns the domain has no say here. */
struct dns_question *dns_exchange(struct dns *, struct span domain, void (*done)(void *self, const struct dns_exchangers *), void *self);
void dns_cancel(struct dns_question **);
