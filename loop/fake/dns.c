#include "loop/dns.h"

#include "base/panic.h"
#include "loop/fake/inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 64, SILENT_MS = 10000, LONGEST_NAME = 253 };

struct known {
	char host[LONGEST_NAME + 1];
	bool silent;
	size_t count;
	struct address addresses[DNS_ADDRESSES_MAX];
};

struct dns {
	struct loop *loop;
	struct dns_question *questions;
};

struct dns_question {
	struct timer timer;
	struct dns *dns;
	struct dns_answer answer;
	struct dns_exchangers exchangers;
	void (*done)(void *self, const struct dns_answer *);
	void (*exchange_done)(void *self, const struct dns_exchangers *);
	void *self;
	struct dns_question *next;
};

static struct {
	char domain[LONGEST_NAME + 1], hosts[512];
	bool silent;
} domains[NAMES_MAX];
static size_t domain_count;

static struct known names[NAMES_MAX];
static size_t name_count;

void dns_end(void)
{
	name_count = domain_count = 0;
}

static struct known *known(struct span host)
{
	for (size_t i = 0; i < name_count; i++)
		if (span_equal_fold(span_of(names[i].host), host))
			return &names[i];
	return NULL;
}

void world_name(const char *host, const char *addresses)
{
	struct known *k = known(span_of(host));
	struct span rest = span_of(addresses), word;

	if (!k) {
		ASSERT(name_count < NAMES_MAX);
		k = &names[name_count++];
	}
	*k = (struct known){ .silent = !addresses };
	snprintf(k->host, sizeof k->host, "%s", host);
	while (rest.size && span_cut(&rest, ' ', &word)) {
		ASSERT(k->count < DNS_ADDRESSES_MAX);
		ASSERT(address_parse(&k->addresses[k->count++], word, 0));
	}
	world_note("name %s is %s", host, addresses ? addresses : "not answered");
}

struct dns *dns_new(struct loop *loop, struct span resolv_conf, struct span hosts)
{
	struct dns *dns = calloc(1, sizeof *dns);

	if (!dns)
		panic("out of memory");
	dns->loop = loop;
	return dns;
}

static void question_free(struct dns_question *q)
{
	struct dns_question **at = &q->dns->questions;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	timer_stop(&q->timer);
	free(q);
}

void dns_free(struct dns **dns)
{
	if (!*dns)
		return;
	while ((*dns)->questions)
		question_free((*dns)->questions);
	free(*dns);
	*dns = NULL;
}

static void answer(void *self)
{
	struct dns_question *q = self;
	struct dns_answer copy = q->answer;
	void (*done)(void *, const struct dns_answer *) = q->done;
	void *whom = q->self;

	question_free(q);
	done(whom, &copy);
}

/* What is known without asking anyone. */
static bool resolve_here(struct dns_answer *answer, struct span host, uint16_t port)
{
	if (span_equal_fold(host, SPAN("localhost")) && !known(host)) {
		address_parse(&answer->addresses[0], SPAN("::1"), port);
		address_parse(&answer->addresses[1], SPAN("127.0.0.1"), port);
		answer->count = 2;
		return true;
	}
	answer->count = 1;
	return address_parse(&answer->addresses[0], host, port) && answer->addresses[0].family != ADDRESS_PATH;
}

static int resolve(struct dns_answer *answer, struct span host, uint16_t port)
{
	const struct known *k = known(host);

	if (resolve_here(answer, host, port))
		return 0;
	answer->count = 0;
	answer->fault = FAULT_NO_ADDRESS;
	if (!k || host.size > LONGEST_NAME)
		return world_between(1, 30);
	if (k->silent) {
		answer->fault = FAULT_TIMEOUT;
		return SILENT_MS;
	}
	for (; answer->count < k->count; answer->count++) {
		answer->addresses[answer->count] = k->addresses[answer->count];
		answer->addresses[answer->count].port = port;
		answer->fault = FAULT_OK;
	}
	return world_between(0, 30);
}

struct dns_question *dns_resolve(struct dns *dns, struct span host, uint16_t port,
				 void (*done)(void *self, const struct dns_answer *), void *self)
{
	struct dns_question *q = calloc(1, sizeof *q);

	if (!q)
		panic("out of memory");
	*q = (struct dns_question){ .dns = dns, .done = done, .self = self, .next = dns->questions };
	dns->questions = q;
	timer_init(&q->timer, dns->loop, answer, q);
	timer_after(&q->timer, resolve(&q->answer, host, port));
	world_note("asks for the address of %.*s", SPAN_ARGS(host));
	return q;
}

void world_exchangers(const char *domain, const char *hosts)
{
	size_t at = 0;

	while (at < domain_count && strcmp(domains[at].domain, domain) != 0)
		at++;
	ASSERT(at < NAMES_MAX);
	domain_count = at == domain_count ? at + 1 : domain_count;
	snprintf(domains[at].domain, sizeof domains[at].domain, "%s", domain);
	snprintf(domains[at].hosts, sizeof domains[at].hosts, "%s", hosts ? hosts : "");
	domains[at].silent = !hosts;
	world_note("mail for %s goes to %s", domain, hosts ? hosts : "nobody who answers");
}

static void answer_exchangers(void *self)
{
	struct dns_question *q = self;
	struct dns_exchangers copy = q->exchangers;
	void (*done)(void *, const struct dns_exchangers *) = q->exchange_done;
	void *whom = q->self;

	question_free(q);
	done(whom, &copy);
}

static void add_exchanger(struct dns_exchangers *e, struct span host)
{
	if (host.size && e->count < DNS_EXCHANGERS_MAX)
		snprintf(e->hosts[e->count++], DNS_NAME_BYTES, "%.*s", SPAN_ARGS(host));
}

static int exchangers_of(struct dns_exchangers *e, struct span domain)
{
	for (size_t i = 0; i < domain_count; i++) {
		struct span rest = span_of(domains[i].hosts), host;

		if (!span_equal_fold(span_of(domains[i].domain), domain))
			continue;
		while (rest.size && span_cut(&rest, ' ', &host))
			add_exchanger(e, host);
		e->fault = domains[i].silent ? FAULT_TIMEOUT : e->count ? FAULT_OK : FAULT_NO_ADDRESS;
		return domains[i].silent ? SILENT_MS : world_between(0, 30);
	}
	e->fault = FAULT_NO_ADDRESS;
	if (known(domain)) {
		add_exchanger(e, domain);
		e->fault = FAULT_OK;
	}
	return world_between(1, 30);
}

struct dns_question *dns_exchange(struct dns *dns, struct span domain, void (*done)(void *self, const struct dns_exchangers *), void *self)
{
	struct dns_question *q = calloc(1, sizeof *q);

	if (!q)
		panic("out of memory");
	*q = (struct dns_question){ .dns = dns, .exchange_done = done, .self = self, .next = dns->questions };
	dns->questions = q;
	timer_init(&q->timer, dns->loop, answer_exchangers, q);
	timer_after(&q->timer, exchangers_of(&q->exchangers, domain));
	world_note("asks who takes mail for %.*s", SPAN_ARGS(domain));
	return q;
}

void dns_cancel(struct dns_question **question)
{
	if (*question)
		question_free(*question);
	*question = NULL;
}
