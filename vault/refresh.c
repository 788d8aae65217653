#include "vault/connector.h"

#include "base/clock.h"
#include "base/panic.h"

#include <stdlib.h>

enum { SAME_END_MS = 10 * 60 * 1000, SHOWS_MS = 30 * 60 * 1000, LIFE_MAX_S = 2 * 365 * 86400 };

static const struct span MAILBOX = { "mailbox", 7 }, REFRESH = { "refresh_token", 13 }, BEFORE = { "refresh_token_before", 20 },
			 ACCESS = { "access_token", 12 };

/* --- what is kept of a sign-in, fetched */

struct fetched {
	uint64_t mailbox;
	struct change *change;
	struct secret_row rows[3];
	size_t count;
};

static void keep(void *self, const struct secret_row *row)
{
	struct fetched *f = self;
	struct secret_row *to = &f->rows[f->count++];

	*to = *row;
	to->sealed = arena_copy(f->change->arena, row->sealed);
}

static enum fault fetch(struct change *c, struct sqlite *db)
{
	struct fetched *f = c->data;
	const struct span names[] = { REFRESH, BEFORE, ACCESS };
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < sizeof names / sizeof *names && fault == FAULT_OK; i++)
		fault = secrets_get(db, MAILBOX, f->mailbox, names[i], keep, f);
	return fault;
}

static enum fault open_secret(struct vault *v, struct change *c, const struct secret_row *row, struct span *out)
{
	struct buf text;
	enum fault fault;

	buf_init(&text, KEYRING_SEALED_BYTES_MAX);
	fault = keyring_unseal(v->keys, &text, row);
	if (fault == FAULT_OK)
		*out = arena_copy(c->arena, buf_span(&text));
	else
		TRAIL(&v->trail, EVENT_SECRET_SHUT, TRAIL_TEXT("what", row->name));
	buf_wipe(&text);
	return fault;
}

static void give(struct change *c)
{
	struct fetched *f = c->data;
	struct vault *v = c->vault;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, f->mailbox);
	struct token_kept kept = { 0 };
	enum fault fault = c->fault;

	for (size_t i = 0; i < f->count && fault == FAULT_OK; i++)
		fault = open_secret(v, c, &f->rows[i],
				    span_equal(f->rows[i].name, REFRESH)  ? &kept.refresh_token
				    : span_equal(f->rows[i].name, BEFORE) ? &kept.refresh_token_before
									  : &kept.access_token);
	if (m) {
		kept.expires_at_ms = m->sign_in.expires_at_ms;
		kept.generation = m->sign_in.generation;
		kept.tenant = m->sign_in.tenant;
		kept.object = m->sign_in.object;
	}
	if (m && mailbox_service(v, m)) /* what a person left is of no use any more */
		kept = (struct token_kept){ .is_application = true, .address = m->row.address };
	tokens_loaded(v->tokens, f->mailbox, m ? fault : FAULT_NOT_LINKED, &kept);
}

/* Nothing is kept of an application: the answer comes the same way all the same. */
static enum fault fetch_nothing(struct change *c, struct sqlite *db)
{
	(void)c, (void)db;
	return FAULT_OK;
}

static void give_application(struct change *c)
{
	const struct fetched *f = c->data;

	tokens_loaded(c->vault->tokens, f->mailbox, c->fault, &(struct token_kept){ .is_application = true });
}

static void load(void *host, uint64_t mailbox)
{
	bool is_provider = mailbox & TOKEN_OF_PROVIDER;
	struct change *c = is_provider ? change_new(host, fetch_nothing, give_application, sizeof(struct fetched))
				       : change_new(host, fetch, give, sizeof(struct fetched));
	struct fetched *f = c->data;

	f->mailbox = mailbox;
	f->change = c;
	change_run_take(c);
}

/* --- what a provider answered, stored */

struct stored {
	struct sign_in_row row;
	size_t count;
	struct secret_row secrets[3];
	bool drop_before;
};

static enum fault store(struct change *c, struct sqlite *db)
{
	const struct stored *s = c->data;
	enum fault fault = sign_ins_put(db, &s->row);

	if (fault == FAULT_OK && s->drop_before)
		fault = secrets_remove(db, MAILBOX, s->row.mailbox, BEFORE);
	for (size_t i = 0; i < s->count && fault == FAULT_OK; i++)
		fault = secrets_put(db, &s->secrets[i]);
	return fault;
}

static void stored(struct change *c)
{
	const struct stored *s = c->data;
	struct vault *v = c->vault;

	if (c->fault == FAULT_OK)
		registry_put_sign_in(&v->registry, &s->row);
	tokens_stored(v->tokens, s->row.mailbox, c->fault);
}

/* An end that moves with every refresh is none that people must know of. Whether it moves shows only at a refresh some time after the last one. */
static int64_t end_after(const struct sign_in_row *before, int64_t told_ms, int64_t now_ms)
{
	int64_t known_ms = before->ends_at_ms < 0 ? -before->ends_at_ms : before->ends_at_ms;

	if (!told_ms)
		return before->ends_at_ms;
	if (told_ms > known_ms + SAME_END_MS || told_ms < known_ms - SAME_END_MS)
		return -told_ms;
	return before->ends_at_ms > 0 || now_ms - before->refreshed_at_ms >= SHOWS_MS ? known_ms : -known_ms;
}

/* A sign-in that outlived what the tenant's policy gave it shows that the policy is another now. */
static int64_t life_after(const struct sign_in_row *before, int64_t now_ms)
{
	return now_ms > before->linked_at_ms + before->lasts_ms + SHOWS_MS ? 0 : before->lasts_ms;
}

static void save(void *host, uint64_t mailbox, const struct token_kept *kept)
{
	struct vault *v = host;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, mailbox);
	struct change *c;
	struct stored *s;

	ASSERT(m);
	c = change_new(v, store, stored, sizeof *s);
	s = c->data;
	s->row = registry_copy_sign_in(c->arena, &m->sign_in);
	s->row.generation = kept->generation;
	s->row.fault = s->row.why = (struct span){ "", 0 };
	s->row.ends_at_ms = end_after(&m->sign_in, kept->refresh_ends_at_ms, clock_wall_ms());
	s->row.lasts_ms = life_after(&m->sign_in, clock_wall_ms());
	s->row.refreshed_at_ms = clock_wall_ms();
	s->row.expires_at_ms = kept->expires_at_ms;
	s->drop_before = !kept->refresh_token_before.size;
	s->secrets[s->count++] = change_seal(c, MAILBOX, mailbox, REFRESH, kept->refresh_token);
	s->secrets[s->count++] = change_seal(c, MAILBOX, mailbox, ACCESS, kept->access_token);
	if (!s->drop_before)
		s->secrets[s->count++] = change_seal(c, MAILBOX, mailbox, BEFORE, kept->refresh_token_before);
	change_run_take(c);
}

/* --- how it fares */

static enum fault store_state(struct change *c, struct sqlite *db)
{
	return sign_ins_put(db, c->data);
}

static void state_stored(struct change *c)
{
	if (c->fault == FAULT_OK)
		registry_put_sign_in(&c->vault->registry, c->data);
}

/* "... the maximum allowed lifetime for this request is 604800." (AADSTS70043), in milliseconds; what was known where it says nothing. */
static int64_t life_told(enum fault fault, struct span why, int64_t known_ms)
{
	struct span words = SPAN("allowed lifetime for this request is ");
	size_t at = span_find(why, words), digits = 0;
	uint64_t seconds;

	if (fault != FAULT_OAUTH_SIGN_IN_FREQUENCY || at == why.size)
		return known_ms;
	why = span_slice(why, at + words.size, why.size);
	while (digits < why.size && why.at[digits] >= '0' && why.at[digits] <= '9')
		digits++;
	return span_number(span_slice(why, 0, digits), &seconds) && seconds && seconds <= LIFE_MAX_S ? (int64_t)seconds * 1000 : known_ms;
}

static void note_state(struct vault *v, const struct registry_mailbox *m, enum fault fault, struct span why)
{
	struct span name = fault == FAULT_OK ? (struct span){ "", 0 } : span_of(fault_row(fault)->name);
	struct change *c;
	struct sign_in_row *row;

	if (span_equal(m->sign_in.fault, name))
		return;
	c = change_new(v, store_state, state_stored, sizeof *row);
	row = c->data;
	*row = registry_copy_sign_in(c->arena, &m->sign_in);
	row->fault = arena_copy(c->arena, name);
	row->why = arena_copy(c->arena, why);
	row->lasts_ms = life_told(fault, why, row->lasts_ms);
	change_run_take(c);
}

static void application_changed(struct vault *v, uint64_t provider, enum fault fault, struct span why)
{
	const struct registry_provider *p = registry_by_id(&v->registry.providers, provider);
	const struct registry_mailbox *m;
	size_t at = 0;

	if (!p)
		return;
	if (fault != FAULT_OK) {
		TRAIL(&v->trail, EVENT_TOKEN_FAILED, TRAIL_TEXT("mailbox", p->row.name), TRAIL_TEXT("fault", span_of(fault_row(fault)->name)),
		      TRAIL_TEXT("why", why));
		return;
	}
	TRAIL(&v->trail, EVENT_TOKEN_MENDED, TRAIL_TEXT("mailbox", p->row.name));
	while ((m = map_next(&v->registry.mailboxes, &at)))
		if (m->row.provider == provider)
			mailbox_mended_alone(v, m->row.id);
}

static void changed(void *host, uint64_t mailbox, enum fault fault, struct span why)
{
	struct vault *v = host;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, mailbox);

	if (mailbox & TOKEN_OF_PROVIDER) {
		application_changed(v, mailbox & ~TOKEN_OF_PROVIDER, fault, why);
		return;
	}
	if (!m || (!m->sign_in.mailbox && !mailbox_service(v, m)))
		return;
	/* Only what needs a person outlives a restart; the rest passes by itself. */
	if (m->sign_in.mailbox)
		note_state(v, m, oauth_needs_person(fault) ? fault : FAULT_OK, why);
	if (fault == FAULT_OK) {
		TRAIL(&v->trail, EVENT_TOKEN_MENDED, TRAIL_TEXT("mailbox", m->row.address));
		mailbox_mended(v, mailbox);
		return;
	}
	TRAIL(&v->trail, EVENT_TOKEN_FAILED, TRAIL_TEXT("mailbox", m->row.address), TRAIL_TEXT("fault", span_of(fault_row(fault)->name)),
	      TRAIL_TEXT("why", why));
}

static struct provider *provider_of(void *host, uint64_t mailbox)
{
	const struct vault *v = host;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, mailbox);
	const struct registry_provider *p;

	if (!(mailbox & TOKEN_OF_PROVIDER))
		return m ? mailbox_provider(v, m) : NULL;
	p = registry_by_id(&v->registry.providers, mailbox & ~TOKEN_OF_PROVIDER);
	return p ? p->provider : NULL;
}

static const struct token_host host_of_tokens = { load, save, provider_of, changed };

void refresh_start(struct vault *v)
{
	const struct registry_mailbox *m;
	size_t at = 0;

	v->tokens = tokens_new(v->loop, v->http, &host_of_tokens, v);
	while ((m = map_next(&v->registry.mailboxes, &at))) {
		enum fault fault = fault_named(m->sign_in.fault);

		if (m->sign_in.mailbox && !mailbox_service(v, m))
			tokens_add(v->tokens, m->row.id, m->sign_in.refreshed_at_ms, fault == FAULT_COUNT ? FAULT_OK : fault, m->sign_in.why);
	}
}

/* --- a token for post */

struct question {
	struct vault *vault;
	unsigned post;
	uint64_t request, mailbox;
	enum way way;
};

static void answer(struct vault *v, const struct question *q, const struct token_answer *a)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, q->mailbox);
	struct provider *p = m ? mailbox_provider(v, m) : NULL;
	struct message_token t = { .request = q->request, .mailbox = q->mailbox, .way = (uint8_t)q->way, .fault = a->fault, .why = a->why, .token = a->access_token,
				   .generation = a->generation, .expires_at_ms = a->expires_at_ms };

	if (p) {
		t.host = provider_host(p);
		t.port = provider_port(p);
		t.tls = (uint8_t)provider_tls(p);
		t.mechanism = (uint8_t)provider_mechanism(p);
		t.tenant = mailbox_tenant(v, m);
	}
	if (m) {
		t.user = mailbox_account(v, m)->row.address;
		t.address = m->row.address;
		t.language = (uint8_t)m->row.language;
	}
	vault_tell_one(v, ROLE_POST, q->post, &(struct message){ .type = MESSAGE_token, .fd = -1, .token = t });
}

static void came(void *self, uint64_t request, const struct token_answer *a)
{
	struct question *q = self;

	answer(q->vault, q, a);
	free(q);
}

void refresh_wanted(struct vault *v, const struct vault_peer *peer, const struct message_token_wanted *w)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, w->mailbox);
	struct question here = { v, peer->index, w->request, w->mailbox, (enum way)w->way }, *q;
	struct provider *p = m ? mailbox_provider(v, m) : NULL;
	struct token_answer a = { .fault = !m ? FAULT_NOT_LINKED : !m->row.enabled ? FAULT_MAILBOX_DISABLED : FAULT_OK };

	if (w->way <= WAY_NONE || w->way >= WAY_END)
		return;
	if (way_sign_in((enum way)w->way) == WAY_BY_PASSWORD) {
		app_password_wanted(v, peer, w);
		return;
	}
	if (way_sign_in((enum way)w->way) == WAY_BY_ADDRESS) {
		connector_wanted(v, peer, w);
		return;
	}
	if (a.fault != FAULT_OK || (p && provider_kind(p)->account == PROVIDER_ACCOUNT_NONE)) {
		answer(v, &here, &a);
		return;
	}
	q = calloc(1, sizeof *q);
	if (!q)
		panic("out of memory");
	*q = here;
	if ((mailbox_token(v, m) & TOKEN_OF_PROVIDER || mailbox_service(v, m)) && !tokens_state(v->tokens, mailbox_token(v, m)).is_known)
		tokens_add(v->tokens, mailbox_token(v, m), clock_wall_ms(), FAULT_OK, SPAN(""));
	tokens_want(v->tokens, mailbox_token(v, m), w->force ? w->generation : 0, came, q, w->request);
}
