#include "upstream/smtp_way_inner.h"

#include <stdio.h>

/* RFC 2606: a domain that is nobody's, and so outside every organisation. */
#define NOBODY "nobody@example.com"

/* Whose names the MX of a tenant's domain may hold. A filter before the tenant stands there as well, and is no connector's host; and what a name server
 * says without DNSSEC shall not choose who gets the mail. */
static const char *const tenant_hosts[] = { ".mail.protection.outlook.com", ".mx.microsoft", ".mail.protection.office365.us", ".mail.protection.partner.outlook.cn" };

bool smtp_way_read_road(struct smtp_way_connection *c, const struct message_token *t)
{
	c->source = (struct address){ 0 };
	c->by_mx = t->by_mx;
	c->exchanger = 0;
	c->exchangers.count = 0;
	buf_clear(&c->certificate);
	return (!t->source.size || address_parse(&c->source, t->source, 0)) && buf_put(&c->certificate, t->certificate);
}

static void dial(struct smtp_way_connection *c)
{
	c->dial = dial_start(c->way->dns, c->way->loop, span_of(c->host), c->port, c->source.family == ADDRESS_NONE ? NULL : &c->source,
			     c->way->settings.connect_ms, smtp_way_on_dialed, c);
}

bool smtp_way_next_road(struct smtp_way_connection *c)
{
	if (c->exchanger >= c->exchangers.count)
		return false;
	snprintf(c->host, sizeof c->host, "%s", c->exchangers.hosts[c->exchanger++]);
	dial(c);
	return true;
}

static bool is_tenant_host(struct span host)
{
	for (size_t i = 0; i < sizeof tenant_hosts / sizeof *tenant_hosts; i++)
		if (span_ends_fold(host, span_of(tenant_hosts[i])))
			return true;
	return false;
}

static void on_exchangers(void *self, const struct dns_exchangers *answer)
{
	struct smtp_way_connection *c = self;
	char why[SMTP_WAY_NAME_BYTES + 128];

	smtp_way_enter(c);
	c->question = NULL;
	for (size_t i = 0; i < answer->count; i++)
		if (is_tenant_host(span_of(answer->hosts[i])))
			snprintf(c->exchangers.hosts[c->exchangers.count++], DNS_NAME_BYTES, "%s", answer->hosts[i]);
	if (!smtp_way_next_road(c)) {
		snprintf(why, sizeof why, "the MX of %s names no host of a Microsoft tenant: give it by --smtp-host", c->host);
		smtp_way_fail_with(c, answer->fault ? answer->fault : FAULT_NO_ADDRESS, answer->fault ? (struct span){ "", 0 } : span_of(why), WAY_BLAMES_HOST);
	}
	smtp_way_leave(c);
}

void smtp_way_take_road(struct smtp_way_connection *c)
{
	if (c->by_mx)
		c->question = dns_exchange(c->way->dns, span_of(c->host), on_exchangers, c);
	else
		dial(c);
}

void smtp_way_start_tls(struct smtp_way_connection *c)
{
	struct tls *own = NULL;
	const char *why = "";
	enum fault fault;

	c->in_handshake = true;
	if (!c->certificate.size) {
		stream_start_tls_client(c->stream, c->way->tls, span_of(c->host));
		return;
	}
	fault = tls_client_certified(&own, c->way->tls, buf_span(&c->certificate), secret_borrow(c->secret), &why);
	secret_free(&c->secret);
	if (fault) {
		c->in_handshake = false;
		smtp_client_tls_started(&c->client, fault, span_of(why));
		return;
	}
	stream_start_tls_client(c->stream, own, span_of(c->host));
	tls_drop(&own);
}

void smtp_way_try_envelope(struct smtp_way_connection *c)
{
	c->leaving = true;
	c->state = TALKING;
	c->nobody = (struct smtp_client_recipient){ .address = SPAN(NOBODY) };
	c->envelope = (struct smtp_client_message){ .sender = span_of(c->user), .recipients = &c->nobody, .recipient_count = 1 };
	smtp_client_message(&c->client, &c->envelope);
}

void smtp_way_tell_seen(struct smtp_way_connection *c)
{
	struct span text = span_of(c->client.seen_as);
	struct address address;

	if (c->box->whose.way == WAY_CONNECTOR && c->way->events->seen && address_parse(&address, text, 0) && address.family != ADDRESS_PATH)
		c->way->events->seen(c->way->self, c->box->whose.mailbox, text);
}
