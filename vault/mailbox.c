#include "vault/inner.h"

#include "base/metric.h"

#include <stdlib.h>

enum { TELL_AT_ONCE = 1000, TELL_AGAIN_MS = 5 };

struct provider *mailbox_provider(const struct vault *v, const struct registry_mailbox *m)
{
	const struct registry_provider *p = registry_by_id(&v->registry.providers, m->row.provider);

	return p ? p->provider : NULL;
}

static bool needs_sign_in(const struct vault *v, const struct registry_mailbox *m)
{
	struct provider *p = mailbox_provider(v, m);

	return !p || provider_kind(p)->account != PROVIDER_ACCOUNT_NONE;
}

enum mailbox_state mailbox_state(const struct vault *v, const struct registry_mailbox *m)
{
	struct token_state token = tokens_state(v->tokens, m->row.id);

	if (!m->row.enabled)
		return MAILBOX_DISABLED;
	if (!needs_sign_in(v, m))
		return MAILBOX_READY;
	if (!m->sign_in.mailbox)
		return MAILBOX_UNLINKED;
	return fault_row(token.fault)->class == FAULT_CLASS_HOLD || fault_row(token.fault)->class == FAULT_CLASS_POLICY ? MAILBOX_HELD : MAILBOX_READY;
}

/* A mailbox that worked once takes mail even while its sign-in has lapsed: post holds it. */
enum fault mailbox_ready(const struct vault *v, const struct registry_mailbox *m)
{
	if (!m->row.enabled)
		return FAULT_MAILBOX_DISABLED;
	return m->sign_in.mailbox || !needs_sign_in(v, m) ? FAULT_OK : FAULT_MAILBOX_NOT_READY;
}

static struct message state_of(const struct vault *v, const struct registry_mailbox *m)
{
	const struct registry_organisation *o = registry_by_id(&v->registry.organisations, m->row.organisation);

	return MESSAGE_OF(mailbox_state, .mailbox = m->row.id, .enabled = m->row.enabled, .address = m->row.address,
			  .notify_mailbox = o ? o->row.notice_mailbox : 0, .language = (uint8_t)m->row.language);
}

void mailbox_tell(struct vault *v, const struct registry_mailbox *m)
{
	struct message state = state_of(v, m);

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
		struct message state = state_of(v, all[peer->told++]);

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

void mailbox_mended(struct vault *v, uint64_t mailbox)
{
	vault_tell(v, ROLE_POST, &MESSAGE_OF(mended, .mailbox = mailbox, .fault = FAULT_OK));
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
