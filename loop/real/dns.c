#include "loop/dns.h"

#include "base/panic.h"
#include "loop/real/inner.h"
#include "loop/real/resolv.h"

#include <ares.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
	NAME_BYTES = DNS_NAME_BYTES,
	QUESTION_MS = 10 * 1000,
	OTHER_FAMILY_MS = 200, /* how long the second family may take once the first has answered (RFC 8305 3) */
	KEPT_MS = 60 * 1000,
	KEPT_MAX = 64,
	SOCKETS_MAX = 4 * RESOLV_SERVERS_MAX,
};

enum { FAMILIES = 2 };
static const int families[FAMILIES] = { AF_INET6, AF_INET };

struct found {
	struct address at[DNS_ADDRESSES_MAX];
	size_t count;
};

struct dns_question {
	struct dns *dns;
	struct dns_question *next, *previous;
	char name[NAME_BYTES];
	uint16_t port;
	void (*done)(void *self, const struct dns_answer *);
	void (*exchange_done)(void *self, const struct dns_exchangers *); /* of a question for MX */
	void *self;
	struct dns_exchangers *exchangers;
	struct errand tell;
	struct timer deadline;
	struct found found[FAMILIES];
	unsigned asked; /* of c-ares, which has not called back yet */
	int kept_ms;
	enum fault fault;
	bool gone; /* told or cancelled; waits for c-ares to let go */
};

struct kept {
	char name[NAME_BYTES];
	struct found found[FAMILIES];
	int64_t until_ms;
};

struct dns_socket {
	struct dns *dns;
	int fd;
	struct watch watch;
};

struct dns {
	struct loop *loop;
	ares_channel channel;
	struct timer timer;
	struct dns_socket sockets[SOCKETS_MAX];
	struct kept kept[KEPT_MAX];
	size_t kept_next;
	struct buf hosts;
	struct dns_question *questions;
};

/* --- c-ares on the loop */

static void rearm(struct dns *d)
{
	struct timeval wait;

	if (ares_timeout(d->channel, NULL, &wait))
		timer_after(&d->timer, (int64_t)wait.tv_sec * 1000 + wait.tv_usec / 1000 + 1);
	else
		timer_stop(&d->timer);
}

static void on_time(void *self)
{
	struct dns *d = self;

	ares_process_fd(d->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	rearm(d);
}

static void on_socket(void *self, unsigned events)
{
	struct dns_socket *s = self;
	struct dns *d = s->dns;
	int fd = s->fd;

	ares_process_fd(d->channel, events & (WATCH_READ | WATCH_FAILED) ? fd : ARES_SOCKET_BAD,
			events & WATCH_WRITE ? fd : ARES_SOCKET_BAD);
	rearm(d);
}

static struct dns_socket *socket_of(struct dns *d, int fd)
{
	struct dns_socket *unused = NULL;

	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (watch_is_open(&d->sockets[i].watch) && d->sockets[i].fd == fd)
			return &d->sockets[i];
		if (!watch_is_open(&d->sockets[i].watch))
			unused = &d->sockets[i];
	}
	return unused;
}

static void on_state(void *self, ares_socket_t fd, int readable, int writable)
{
	struct dns *d = self;
	struct dns_socket *s = socket_of(d, fd);

	if (!s) /* its answer then times out */
		return;
	if (!readable && !writable) {
		watch_close(&s->watch);
		return;
	}
	if (!watch_is_open(&s->watch)) {
		s->dns = d;
		s->fd = fd;
		if (!watch_open(&s->watch, d->loop, fd, on_socket, s))
			return;
	}
	watch_want(&s->watch, (readable ? WATCH_READ : 0u) | (writable ? WATCH_WRITE : 0u));
}

static void set_servers(struct dns *d, const struct resolv *r)
{
	char memory[1024];
	struct buf list;

	buf_over(&list, memory, sizeof memory);
	for (size_t i = 0; i < r->server_count; i++) {
		if (i)
			buf_put_byte(&list, ',');
		address_print(&list, &r->servers[i], true);
	}
	buf_put_byte(&list, '\0');
	if (list.overfull || ares_set_servers_ports_csv(d->channel, memory) != ARES_SUCCESS)
		fatal("the name servers of resolv.conf cannot be used");
}

/* Every option is given, so that c-ares has no reason to open resolv.conf, nsswitch.conf or hosts. */
static void open_channel(struct dns *d, struct span resolv_conf)
{
	struct in_addr loopback = { htonl(INADDR_LOOPBACK) };
	struct resolv r;
	char *domains[RESOLV_DOMAINS_MAX] = { 0 }, lookups[] = "b";
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_SERVERS |
		   ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_SORTLIST;

	resolv_read(&r, resolv_conf);
	for (size_t i = 0; i < r.domain_count; i++)
		domains[i] = r.domains[i];
	struct ares_options options = { .flags = ARES_FLAG_NOALIASES,
					.timeout = r.timeout_ms,
					.tries = r.tries,
					.ndots = r.ndots,
					.servers = &loopback,
					.nservers = 1,
					.domains = domains,
					.ndomains = (int)r.domain_count,
					.lookups = lookups,
					.sock_state_cb = on_state,
					.sock_state_cb_data = d };
	if (ares_init_options(&d->channel, &options, mask | (r.rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE)) !=
	    ARES_SUCCESS)
		fatal("c-ares does not start");
	set_servers(d, &r);
}

struct dns *dns_new(struct loop *loop, struct span resolv_conf, struct span hosts)
{
	struct dns *d = calloc(1, sizeof *d);

	if (!d)
		panic("out of memory");
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		fatal("c-ares does not start");
	d->loop = loop;
	timer_init(&d->timer, loop, on_time, d);
	buf_init(&d->hosts, 4 * 1024 * 1024);
	buf_put(&d->hosts, hosts);
	open_channel(d, resolv_conf);
	return d;
}

/* --- questions */

static void unlist(struct dns_question *q)
{
	if (q->next)
		q->next->previous = q->previous;
	if (q->previous)
		q->previous->next = q->next;
	else
		q->dns->questions = q->next;
}

static void let_go(struct dns_question *q)
{
	q->gone = true;
	timer_stop(&q->deadline);
	loop_cancel(&q->tell);
	if (q->asked)
		return;
	unlist(q);
	free(q->exchangers);
	free(q);
}

void dns_free(struct dns **dns)
{
	struct dns *d = *dns;

	*dns = NULL;
	if (!d)
		return;
	ares_destroy(d->channel); /* calls back for every question asked of it */
	while (d->questions)
		let_go(d->questions);
	for (size_t i = 0; i < SOCKETS_MAX; i++)
		watch_close(&d->sockets[i].watch);
	timer_stop(&d->timer);
	buf_free(&d->hosts);
	free(d);
	ares_library_cleanup();
}

/* IPv6 and IPv4 in turn (RFC 8305 4). */
static void interleave(struct dns_question *q, struct dns_answer *answer)
{
	for (size_t i = 0; i < DNS_ADDRESSES_MAX; i++)
		for (size_t f = 0; f < FAMILIES; f++)
			if (i < q->found[f].count && answer->count < DNS_ADDRESSES_MAX) {
				answer->addresses[answer->count] = q->found[f].at[i];
				answer->addresses[answer->count++].port = q->port;
			}
}

static void tell_exchangers(struct dns_question *q)
{
	q->exchangers->fault = q->exchangers->count ? FAULT_OK : q->fault;
	q->gone = true;
	q->exchange_done(q->self, q->exchangers);
	let_go(q);
}

static void tell(void *self)
{
	struct dns_question *q = self;
	struct dns_answer answer = { 0 };

	if (q->exchangers) {
		tell_exchangers(q);
		return;
	}
	interleave(q, &answer);
	answer.fault = answer.count ? FAULT_OK : q->fault;
	q->gone = true;
	q->done(q->self, &answer);
	let_go(q);
}

static void on_deadline(void *self)
{
	struct dns_question *q = self;

	q->fault = FAULT_TIMEOUT;
	tell(q);
}

static void add(struct found *f, const struct address *a)
{
	for (size_t i = 0; i < f->count; i++)
		if (address_equal(&f->at[i], a))
			return;
	if (f->count < DNS_ADDRESSES_MAX)
		f->at[f->count++] = *a;
}

static void add_known(void *self, const struct address *a)
{
	struct dns_question *q = self;

	add(&q->found[a->family == ADDRESS_IPV4], a);
}

static void keep(struct dns_question *q)
{
	struct dns *d = q->dns;
	struct kept *k = &d->kept[d->kept_next];

	if (q->kept_ms <= 0 || !(q->found[0].count + q->found[1].count))
		return;
	d->kept_next = (d->kept_next + 1) % KEPT_MAX;
	memcpy(k->name, q->name, sizeof k->name);
	memcpy(k->found, q->found, sizeof k->found);
	k->until_ms = loop_now_ms(d->loop) + q->kept_ms;
}

static void take_nodes(struct dns_question *q, const struct ares_addrinfo *info)
{
	for (const struct ares_addrinfo_node *n = info->nodes; n; n = n->ai_next) {
		struct sockaddr_storage name = { 0 };
		struct address a;

		memcpy(&name, n->ai_addr, n->ai_addrlen);
		a = socket_address(&name, n->ai_addrlen);
		if (n->ai_ttl < q->kept_ms / 1000)
			q->kept_ms = n->ai_ttl * 1000;
		if (address_is_nobody_else(&a))
			q->fault = FAULT_ADDRESS_OWN;
		else
			add_known(q, &a);
	}
}

static void on_answer(void *self, int status, int timeouts, struct ares_addrinfo *info)
{
	struct dns_question *q = self;

	q->asked--;
	if (info && !q->gone)
		take_nodes(q, info);
	if (info)
		ares_freeaddrinfo(info);
	if (q->gone || status == ARES_EDESTRUCTION) {
		let_go(q);
		return;
	}
	if (status == ARES_ETIMEOUT && q->fault != FAULT_ADDRESS_OWN)
		q->fault = FAULT_TIMEOUT;
	if (q->asked && (q->found[0].count || q->found[1].count)) {
		timer_after(&q->deadline, OTHER_FAMILY_MS);
	} else if (!q->asked) {
		keep(q);
		loop_soon(q->dns->loop, &q->tell);
	}
}

static void ask(struct dns_question *q)
{
	timer_after(&q->deadline, QUESTION_MS);
	q->asked = FAMILIES;
	for (size_t f = 0; f < FAMILIES; f++) {
		struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
						     .ai_family = families[f],
						     .ai_socktype = SOCK_STREAM };

		ares_getaddrinfo(q->dns->channel, q->name, NULL, &hints, on_answer, q);
	}
	rearm(q->dns);
}

/* RFC 6761 6.3 */
static bool is_localhost(struct span host)
{
	return span_equal_fold(host, SPAN("localhost")) || span_equal_fold(host, SPAN("localhost.")) ||
	       span_ends_fold(host, SPAN(".localhost")) || span_ends_fold(host, SPAN(".localhost."));
}

static bool find_local(struct dns_question *q, struct span host)
{
	struct address a;

	if (address_parse(&a, host, 0)) {
		add_known(q, &a);
		return true;
	}
	resolv_hosts(buf_span(&q->dns->hosts), host, add_known, q);
	if (!q->found[0].count && !q->found[1].count && is_localhost(host)) {
		address_parse(&a, SPAN("::1"), 0);
		add_known(q, &a);
		address_parse(&a, SPAN("127.0.0.1"), 0);
		add_known(q, &a);
	}
	return q->found[0].count || q->found[1].count;
}

static bool find_kept(struct dns_question *q)
{
	int64_t now = loop_now_ms(q->dns->loop);

	for (size_t i = 0; i < KEPT_MAX; i++) {
		struct kept *k = &q->dns->kept[i];

		if (k->until_ms > now && span_equal_fold(span_of(k->name), span_of(q->name))) {
			memcpy(q->found, k->found, sizeof q->found);
			return true;
		}
	}
	return false;
}

/* Letters, digits and what names of services use; no octet that DNS would have to escape. */
static bool is_name(struct span host)
{
	for (size_t i = 0; i < host.size; i++) {
		char c = host.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
		      c == '_' || (c == '.' && i && host.at[i - 1] != '.')))
			return false;
	}
	return host.size && host.size < NAME_BYTES;
}

static struct dns_question *question_new(struct dns *d, void *self)
{
	struct dns_question *q = calloc(1, sizeof *q);

	if (!q)
		panic("out of memory");
	*q = (struct dns_question){ .dns = d, .next = d->questions, .self = self, .fault = FAULT_NO_ADDRESS, .kept_ms = KEPT_MS };
	if (q->next)
		q->next->previous = q;
	d->questions = q;
	q->tell.run = tell;
	q->tell.self = q;
	timer_init(&q->deadline, d->loop, on_deadline, q);
	return q;
}

struct dns_question *dns_resolve(struct dns *d, struct span host, uint16_t port,
				 void (*done)(void *self, const struct dns_answer *), void *self)
{
	struct dns_question *q = question_new(d, self);

	q->port = port;
	q->done = done;
	if (find_local(q, host) || !is_name(host)) {
		loop_soon(d->loop, &q->tell);
		return q;
	}
	memcpy(q->name, host.at, host.size);
	if (find_kept(q))
		loop_soon(d->loop, &q->tell);
	else
		ask(q);
	return q;
}

/* --- who takes mail */

static void add_exchanger(struct dns_exchangers *e, struct span host)
{
	struct address literal;

	if (host.size && host.at[host.size - 1] == '.')
		host.size--;
	if (e->count == DNS_EXCHANGERS_MAX || !is_name(host) || is_localhost(host) || address_parse(&literal, host, 0))
		return;
	memcpy(e->hosts[e->count], host.at, host.size);
	e->hosts[e->count++][host.size] = '\0';
}

static int by_priority(const void *one, const void *other)
{
	const struct ares_mx_reply *const *a = one, *const *b = other;

	return (*a)->priority < (*b)->priority ? -1 : (*a)->priority > (*b)->priority;
}

/* The record "." says that the domain takes no mail; it leaves no name. */
static void take_exchangers(struct dns_question *q, struct ares_mx_reply *first)
{
	struct ares_mx_reply *sorted[4 * DNS_EXCHANGERS_MAX];
	size_t count = 0;

	for (struct ares_mx_reply *r = first; r && count < sizeof sorted / sizeof *sorted; r = r->next)
		sorted[count++] = r;
	qsort(sorted, count, sizeof *sorted, by_priority);
	for (size_t i = 0; i < count; i++)
		add_exchanger(q->exchangers, span_of(sorted[i]->host));
}

static void on_exchangers(void *self, int status, int timeouts, unsigned char *bytes, int size)
{
	struct dns_question *q = self;
	struct ares_mx_reply *records = NULL;

	q->asked--;
	if (q->gone || status == ARES_EDESTRUCTION) {
		let_go(q);
		return;
	}
	if (status == ARES_SUCCESS)
		status = ares_parse_mx_reply(bytes, size, &records);
	if (status == ARES_SUCCESS)
		take_exchangers(q, records);
	else if (status == ARES_ENODATA)
		add_exchanger(q->exchangers, span_of(q->name));
	else if (status != ARES_ENOTFOUND)
		q->fault = FAULT_TIMEOUT; /* nobody who knows has answered: it may be asked again */
	if (records)
		ares_free_data(records);
	loop_soon(q->dns->loop, &q->tell);
}

struct dns_question *dns_exchange(struct dns *d, struct span domain, void (*done)(void *self, const struct dns_exchangers *), void *self)
{
	struct dns_question *q = question_new(d, self);

	q->exchange_done = done;
	q->exchangers = calloc(1, sizeof *q->exchangers);
	if (!q->exchangers)
		panic("out of memory");
	if (!is_name(domain)) {
		loop_soon(d->loop, &q->tell);
		return q;
	}
	memcpy(q->name, domain.at, domain.size);
	timer_after(&q->deadline, QUESTION_MS);
	q->asked = 1;
	ares_query(d->channel, q->name, 1, 15, on_exchangers, q); /* IN, MX (RFC 1035 3.2) */
	rearm(d);
	return q;
}

void dns_cancel(struct dns_question **question)
{
	struct dns_question *q = *question;

	*question = NULL;
	if (q)
		let_go(q);
}
