#include "identity/grant.h"

#include "base/message.h"
#include "base/seal.h"

enum { GRANT_VERSION = 1 };

static bool put_number(struct buf *out, uint64_t number)
{
	char bytes[8];

	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (char)(number >> (8 * i) & 255);
	return buf_put(out, (struct span){ bytes, sizeof bytes });
}

static bool put_text(struct buf *out, struct span text)
{
	return message_list_put(out, text);
}

/* A reader that goes dry instead of failing: one check at the end is enough. */
struct reader {
	struct span rest;
	bool dry;
};

static uint64_t get_number(struct reader *r)
{
	uint64_t number = 0;

	if (r->rest.size < 8) {
		r->dry = true;
		return 0;
	}
	for (size_t i = 0; i < 8; i++)
		number |= (uint64_t)(unsigned char)r->rest.at[i] << (8 * i);
	r->rest = span_slice(r->rest, 8, r->rest.size);
	return number;
}

/* A number that must stay below `limit`. */
static unsigned get_below(struct reader *r, unsigned limit)
{
	uint64_t number = get_number(r);

	if (number < limit)
		return (unsigned)number;
	r->dry = true;
	return 0;
}

static struct span get_text(struct reader *r)
{
	struct span text = { "", 0 };

	if (!message_list_next(&r->rest, &text))
		r->dry = true;
	return text;
}

static bool put_mailbox(struct buf *out, const struct grant_mailbox *m)
{
	return put_number(out, m->id) && put_text(out, m->address) && put_text(out, m->name) && put_text(out, m->senders) &&
	       put_number(out, m->ready) && put_number(out, m->language) && put_number(out, m->notice_mailbox) &&
	       put_text(out, m->organisation);
}

static bool put_body(struct buf *out, const struct grant *g)
{
	bool whole = put_number(out, GRANT_VERSION) && put_number(out, g->gate) && put_number(out, g->session) &&
		     put_number(out, g->client) && put_text(out, g->client_name) && put_text(out, g->organisation) &&
		     put_number(out, g->protocol) && put_number(out, (uint64_t)g->issued_at_ms) &&
		     put_number(out, (uint64_t)g->expires_at_ms) && put_number(out, g->sender_rule) && put_text(out, g->maps) &&
		     put_number(out, (uint64_t)g->verdict_wait_ms) && put_number(out, g->default_mailbox) &&
		     put_number(out, g->mailbox_count);

	for (size_t i = 0; whole && i < g->mailbox_count; i++)
		whole = put_mailbox(out, &g->mailboxes[i]);
	return whole;
}

static void mac_of(unsigned char mac_out[SEAL_MAC_BYTES], struct span mac_key, struct span body)
{
	const struct span pieces[] = { SPAN("postern grant"), body };

	seal_mac(mac_out, mac_key, pieces, sizeof pieces / sizeof *pieces);
}

bool grant_seal(struct buf *out, const struct grant *g, struct span mac_key)
{
	size_t start = out->size;
	unsigned char mac[SEAL_MAC_BYTES] = { 0 };

	if (g->mailbox_count > GRANT_MAILBOXES_MAX || !buf_put(out, (struct span){ (char *)mac, sizeof mac }) ||
	    !put_body(out, g))
		return false;
	mac_of(mac, mac_key, span_slice(buf_span(out), start + sizeof mac, out->size));
	for (size_t i = 0; i < sizeof mac; i++)
		out->at[start + i] = (char)mac[i];
	return true;
}

static void get_mailbox(struct grant_mailbox *out, struct reader *r)
{
	out->id = get_number(r);
	out->address = get_text(r);
	out->name = get_text(r);
	out->senders = get_text(r);
	out->ready = (enum fault)get_below(r, FAULT_COUNT);
	out->language = (enum language)get_below(r, LANGUAGE_COUNT);
	out->notice_mailbox = get_number(r);
	out->organisation = get_text(r);
}

static void get_head(struct grant *out, struct reader *r)
{
	if (get_number(r) != GRANT_VERSION)
		r->dry = true;
	out->gate = get_below(r, UINT32_MAX);
	out->session = get_number(r);
	out->client = get_number(r);
	out->client_name = get_text(r);
	out->organisation = get_text(r);
	out->protocol = (enum grant_protocol)get_below(r, GRANT_API * 2);
	out->issued_at_ms = (int64_t)get_number(r);
	out->expires_at_ms = (int64_t)get_number(r);
	out->sender_rule = (enum grant_sender_rule)get_below(r, GRANT_SENDER_MAP + 1);
	out->maps = get_text(r);
	out->verdict_wait_ms = (int64_t)get_number(r);
	out->default_mailbox = get_number(r);
	out->mailbox_count = get_below(r, GRANT_MAILBOXES_MAX + 1);
}

enum fault grant_read(struct grant *out, struct arena *arena, struct span sealed)
{
	struct reader r = { .rest = span_slice(sealed, SEAL_MAC_BYTES, sealed.size) };

	*out = (struct grant){ 0 };
	get_head(out, &r);
	if (r.dry)
		return FAULT_GRANT_INVALID;
	out->mailboxes = arena_take(arena, sizeof *out->mailboxes * (out->mailbox_count + 1));
	for (size_t i = 0; i < out->mailbox_count && !r.dry; i++)
		get_mailbox(&out->mailboxes[i], &r);
	return r.dry || r.rest.size ? FAULT_GRANT_INVALID : FAULT_OK;
}

enum fault grant_check(struct grant *out, struct arena *arena, struct span sealed, struct span mac_key, uint32_t gate,
		       uint64_t session, int64_t wall_ms)
{
	unsigned char mac[SEAL_MAC_BYTES];
	enum fault fault;

	*out = (struct grant){ 0 };
	if (sealed.size < sizeof mac)
		return FAULT_GRANT_INVALID;
	mac_of(mac, mac_key, span_slice(sealed, sizeof mac, sealed.size));
	if (!secret_equal((struct span){ (char *)mac, sizeof mac }, span_slice(sealed, 0, sizeof mac)))
		return FAULT_GRANT_INVALID;
	fault = grant_read(out, arena, sealed);
	if (fault != FAULT_OK)
		return fault;
	return out->gate == gate && out->session == session && wall_ms < out->expires_at_ms ? FAULT_OK : FAULT_GRANT_INVALID;
}

const struct grant_mailbox *grant_mailbox(const struct grant *g, uint64_t id)
{
	for (size_t i = 0; i < g->mailbox_count; i++)
		if (g->mailboxes[i].id == id)
			return &g->mailboxes[i];
	return NULL;
}

/* The last `@` parts the domain: a quoted local part may hold others (RFC 5321 4.1.2). */
static struct span domain_of(struct span address)
{
	for (size_t i = address.size; i-- > 0;)
		if (address.at[i] == '@')
			return span_slice(address, i, address.size);
	return (struct span){ "", 0 };
}

static bool may_send(struct span senders, struct span address, struct span domain)
{
	struct span item;

	while (message_list_next(&senders, &item))
		if (span_equal_fold(item, address) || (item.size > 1 && *item.at == '@' && span_equal_fold(item, domain)))
			return true;
	return false;
}

/* An address of its own wins over a domain that several mailboxes share. */
const struct grant_mailbox *grant_mailbox_for(const struct grant *g, struct span address)
{
	struct span domain = domain_of(address);

	if (domain.size < 2 || domain.size == address.size)
		return NULL;
	for (size_t i = 0; i < g->mailbox_count; i++)
		if (may_send(g->mailboxes[i].senders, address, (struct span){ "", 0 }))
			return &g->mailboxes[i];
	for (size_t i = 0; i < g->mailbox_count; i++)
		if (may_send(g->mailboxes[i].senders, address, domain))
			return &g->mailboxes[i];
	return NULL;
}

struct span grant_mapped(const struct grant *g, struct span address)
{
	struct span rest = g->maps, from, to;

	while (message_list_next(&rest, &from) && message_list_next(&rest, &to))
		if (span_equal_fold(from, address) ||
		    (from.size > 1 && *from.at == '@' && span_equal_fold(from, domain_of(address))))
			return to;
	return (struct span){ "", 0 };
}
