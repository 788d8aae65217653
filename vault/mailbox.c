#include "vault/connector.h"

#include "base/metric.h"

#include <stdlib.h>
#include <string.h>

enum { TELL_AT_ONCE = 1000, TELL_AGAIN_MS = 5 };

struct provider *mailbox_provider(const struct vault *v, const struct registry_mailbox *m)
{
	const struct registry_provider *p = registry_by_id(&v->registry.providers, m->row.provider);

	return p ? p->provider : NULL;
}

static bool needs_sign_in(const struct vault *v, const struct registry_mailbox *m)
{
	struct provider *p = mailbox_provider(v, m);

	return !p || (provider_kind(p)->account != PROVIDER_ACCOUNT_NONE && !provider_is_application(p) && !provider_service(p));
}

bool mailbox_service(const struct vault *v, const struct registry_mailbox *m)
{
	const struct provider *p = mailbox_provider(v, m);

	return p && provider_service(p);
}

const struct registry_mailbox *mailbox_account(const struct vault *v, const struct registry_mailbox *m)
{
	const struct registry_mailbox *delegate = m->row.delegate ? registry_by_id(&v->registry.mailboxes, m->row.delegate) : NULL;

	/* The token of one provider is never shown to another. */
	return delegate && delegate->row.provider == m->row.provider ? delegate : m;
}

struct span mailbox_tenant(const struct vault *v, const struct registry_mailbox *m)
{
	const struct registry_mailbox *account = mailbox_account(v, m);
	const struct provider *p = mailbox_provider(v, m);

	if (account->sign_in.tenant.size || !p)
		return account->sign_in.tenant;
	return provider_row(p)->tenant.size ? provider_row(p)->tenant : provider_row(p)->name;
}

uint64_t mailbox_token(const struct vault *v, const struct registry_mailbox *m)
{
	struct provider *p = mailbox_provider(v, m);

	return p && provider_is_application(p) ? token_of_provider(m->row.provider) : mailbox_account(v, m)->row.id;
}

static size_t read_ways(struct span lines, enum way out[WAY_END])
{
	struct span name;
	size_t count = 0;

	while (lines.size && span_cut(&lines, '\n', &name) && count < WAY_END)
		if ((out[count] = way_named(name)) != WAY_NONE)
			count++;
	return count;
}

static bool is_at_connector(const struct vault *v, const struct registry_mailbox *m)
{
	struct provider *p = mailbox_provider(v, m);

	return p && provider_kind(p)->is_connector;
}

size_t mailbox_ways(const struct vault *v, const struct registry_mailbox *m, enum way out[WAY_END])
{
	const struct registry_organisation *o = registry_by_id(&v->registry.organisations, m->row.organisation);
	size_t count = read_ways(m->row.ways, out);

	if (!count && o)
		count = read_ways(o->row.ways, out);
	if (!count)
		out[count++] = is_at_connector(v, m) ? WAY_CONNECTOR : WAY_SMTP;
	return count;
}

bool mailbox_has_way(const struct vault *v, const struct registry_mailbox *m, enum way way)
{
	if (way_sign_in(way) == WAY_BY_PASSWORD)
		return m->app_password.mailbox != 0;
	if (way_sign_in(way) == WAY_BY_ADDRESS)
		return connector_of(v, m);
	return mailbox_account(v, m)->sign_in.mailbox || (!needs_sign_in(v, m) && !is_at_connector(v, m));
}

/* Those that are set up, or, when none is, all. */
static size_t useful_ways(const struct vault *v, const struct registry_mailbox *m, enum way out[WAY_END])
{
	enum way all[WAY_END];
	size_t all_count = mailbox_ways(v, m, all), count = 0;

	for (size_t i = 0; i < all_count; i++)
		if (mailbox_has_way(v, m, all[i]))
			out[count++] = all[i];
	if (count)
		return count;
	memcpy(out, all, all_count * sizeof *all);
	return all_count;
}

enum mailbox_state mailbox_state(const struct vault *v, const struct registry_mailbox *m)
{
	struct token_state token = tokens_state(v->tokens, mailbox_token(v, m));
	enum way ways[WAY_END];

	useful_ways(v, m, ways);
	if (!m->row.enabled)
		return MAILBOX_DISABLED;
	if (!mailbox_has_way(v, m, ways[0]))
		return MAILBOX_UNLINKED;
	if (way_sign_in(ways[0]) != WAY_BY_TOKEN || (!needs_sign_in(v, m) && !token.is_known))
		return MAILBOX_READY;
	return fault_row(token.fault)->class == FAULT_CLASS_HOLD || fault_row(token.fault)->class == FAULT_CLASS_POLICY ? MAILBOX_HELD : MAILBOX_READY;
}

/* A mailbox that worked once takes mail even while its sign-in has lapsed: post holds it. */
enum fault mailbox_ready(const struct vault *v, const struct registry_mailbox *m)
{
	enum way ways[WAY_END];

	if (!m->row.enabled)
		return FAULT_MAILBOX_DISABLED;
	useful_ways(v, m, ways);
	return mailbox_has_way(v, m, ways[0]) ? FAULT_OK : FAULT_MAILBOX_NOT_READY;
}

/* `bytes` holds the ways while the message is used. */
static struct message state_of(const struct vault *v, const struct registry_mailbox *m, char bytes[WAY_END])
{
	const struct registry_organisation *o = registry_by_id(&v->registry.organisations, m->row.organisation);
	struct provider *p = mailbox_provider(v, m);
	struct provider_limits limits = p ? provider_limits(p) : (struct provider_limits){ 0 };
	enum way ways[WAY_END];
	size_t count = useful_ways(v, m, ways);

	for (size_t i = 0; i < count; i++)
		bytes[i] = (char)ways[i];
	return MESSAGE_OF(mailbox_state, .mailbox = m->row.id, .enabled = m->row.enabled, .address = m->row.address,
			  .notify_mailbox = o ? o->row.notice_mailbox : 0, .language = (uint8_t)m->row.language, .ways = { bytes, count },
			  .account = mailbox_account(v, m)->row.id, .messages_per_minute = limits.messages_per_minute,
			  .recipients_per_day = limits.recipients_per_day, .connections = limits.connections);
}

void mailbox_tell(struct vault *v, const struct registry_mailbox *m)
{
	char bytes[WAY_END];
	struct message state = state_of(v, m, bytes);

	vault_tell(v, ROLE_POST, &state);
}

/* A million states are not pressed into one turn. What changes meanwhile is told besides. */
static void tell_some(void *self)
{
	struct vault_peer *peer = self;
	struct vault *v = peer->vault;
	struct arena *arena = arena_new(SIZE_MAX);
	size_t count;
	void **all = registry_sorted(&v->registry.mailboxes, arena, &count);

	for (size_t i = 0; i < TELL_AT_ONCE && peer->told < count && !link_is_full(peer->link); i++) {
		char bytes[WAY_END];
		struct message state = state_of(v, all[peer->told++], bytes);

		link_send(peer->link, &state);
	}
	if (peer->told < count)
		timer_after(&peer->tell, TELL_AGAIN_MS);
	arena_free(&arena);
}

void mailbox_tell_all(struct vault *v, struct vault_peer *peer)
{
	timer_init(&peer->tell, v->loop, tell_some, peer);
	peer->told = 0;
	tell_some(peer);
}

void mailbox_mended_alone(struct vault *v, uint64_t mailbox)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, mailbox);

	if (m)
		mailbox_tell(v, m);
	vault_tell(v, ROLE_POST, &MESSAGE_OF(mended, .mailbox = mailbox, .fault = FAULT_OK));
}

void mailbox_mended(struct vault *v, uint64_t mailbox)
{
	const struct registry_mailbox *m;
	size_t at = 0;

	mailbox_mended_alone(v, mailbox);
	while ((m = map_next(&v->registry.mailboxes, &at)))
		if (m->row.delegate == mailbox)
			mailbox_mended_alone(v, m->row.id);
}

void mailbox_count(struct vault *v)
{
	static const char *const names[] = { "ready", "unlinked", "held", "disabled" };
	int64_t counts[sizeof names / sizeof *names] = { 0 };
	const struct registry_mailbox *m;
	size_t at = 0;

	while ((m = map_next(&v->registry.mailboxes, &at)))
		counts[mailbox_state(v, m)]++;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		metric_set(METRIC_MAILBOXES, names[i], counts[i]);
}
