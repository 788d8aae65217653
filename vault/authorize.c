#include "vault/inner.h"

#include "base/clock.h"
#include "base/metric.h"
#include "base/panic.h"
#include "identity/client_password.h"
#include "loop/local_user.h"

#include <stdlib.h>
#include <string.h>

enum { ENDED_MAX = 100000, GRANT_BYTES_MAX = 1024 * 1024, MECHANISM_NONE = 0, MECHANISM_OAUTHBEARER = 4 };

/* A client's newest revocation, and a credential that was taken back. */
struct revocation {
	uint64_t client;
	int64_t at_ms;
};

struct ended {
	uint64_t client;
	size_t name_size;
	char credential[CLIENT_PASSWORD_CREDENTIAL_BYTES], name[];
};

static void remember_revocation(void *self, uint64_t client, int64_t at_ms)
{
	struct vault *v = self;
	struct revocation *r = registry_by_id(&v->revocations, client);

	if (!r) {
		r = calloc(1, sizeof *r);
		if (!r)
			panic("out of memory");
		r->client = client;
		map_put(&v->revocations, (struct span){ (const char *)&r->client, sizeof r->client }, r);
	}
	if (at_ms > r->at_ms)
		r->at_ms = at_ms;
}

static void remember_ended(void *self, struct span credential, uint64_t client, struct span name)
{
	struct vault *v = self;
	struct ended *e;

	if (credential.size != CLIENT_PASSWORD_CREDENTIAL_BYTES || map_count(&v->ended_credentials) >= ENDED_MAX)
		return;
	e = calloc(1, sizeof *e + name.size + 1);
	if (!e)
		panic("out of memory");
	e->client = client;
	e->name_size = name.size;
	memcpy(e->credential, credential.at, credential.size);
	if (name.size)
		memcpy(e->name, name.at, name.size);
	free(map_put(&v->ended_credentials, (struct span){ e->credential, sizeof e->credential }, e));
}

void authorize_end_credential(struct vault *v, const struct client_row *row)
{
	remember_ended(v, row->credential, row->id, row->name);
}

static void free_all(struct map *m)
{
	void *value;
	size_t at = 0;

	while ((value = map_next(m, &at)))
		free(value);
	map_free(m);
}

void authorize_free(struct vault *v)
{
	free_all(&v->revocations);
	free_all(&v->ended_credentials);
}

void authorize_start(struct vault *v)
{
	map_init(&v->revocations, false);
	map_init(&v->ended_credentials, false);
	if (clients_each_revoked(v->db, remember_revocation, v) != FAULT_OK || clients_each_ended(v->db, ENDED_MAX, remember_ended, v) != FAULT_OK)
		panic("the database gave its clients but not its revocations");
}

int64_t authorize_moment_ms(struct vault *v, uint64_t client)
{
	const struct revocation *r = registry_by_id(&v->revocations, client);
	int64_t now_ms = clock_wall_ms();

	/* A clock that went back must not let a voided grant live again. */
	return r && r->at_ms >= now_ms ? r->at_ms + 1 : now_ms;
}

void authorize_revoke(struct vault *v, uint64_t client, int64_t at_ms)
{
	remember_revocation(v, client, at_ms);
	vault_tell(v, ROLE_GATE, &MESSAGE_OF(revoked, .client = client, .at_ms = at_ms));
	vault_tell(v, ROLE_POST, &MESSAGE_OF(revoked, .client = client, .at_ms = at_ms));
}

/* A post that was away may have missed revocations; what it was told before does no harm twice. */
void authorize_tell(struct vault *v, const struct vault_peer *peer)
{
	const struct revocation *r;
	size_t at = 0;

	while ((r = map_next(&v->revocations, &at)))
		link_send(peer->link, &MESSAGE_OF(revoked, .client = r->client, .at_ms = r->at_ms));
}

/* --- who is it */

static bool holds_line(struct span lines, struct span wanted)
{
	struct span line;

	while (lines.size && span_cut(&lines, '\n', &line))
		if (span_equal_fold(line, wanted))
			return true;
	return false;
}

static bool is_in_networks(const struct registry_client *c, const struct address *remote, unsigned *bits_out)
{
	bool found = false;

	for (size_t i = 0; i < c->network_count; i++)
		if (network_holds(&c->networks[i], remote) && (!found || c->networks[i].bits > *bits_out)) {
			*bits_out = c->networks[i].bits;
			found = true;
		}
	return found;
}

static bool may_be_called(const struct vault *v, const struct registry_client *c, struct span user)
{
	const struct registry_mailbox *m;

	if (span_equal_fold(c->row.name, user))
		return true;
	for (size_t i = 0; i < c->row.mailbox_count; i++) {
		m = registry_by_id(&v->registry.mailboxes, c->row.mailboxes[i]);
		if (m && (span_equal_fold(m->row.address, user) || holds_line(m->row.aliases, user)))
			return true;
	}
	return false;
}

/* What stands against a client that was recognised by its password or network. */
static enum fault objection(const struct vault *v, const struct registry_client *c, const struct message_authorize *m, const struct address *remote)
{
	unsigned bits = 0;
	const struct {
		bool holds;
		enum fault otherwise;
	} rules[] = {
		{ c->row.enabled, FAULT_CLIENT_DISABLED },
		{ m->mechanism == MECHANISM_NONE || (m->mechanism == MECHANISM_OAUTHBEARER && !m->user.size) || may_be_called(v, c, m->user),
		  FAULT_USER_NOT_GRANTED },
		{ c->row.protocols & m->protocol, FAULT_PROTOCOL_NOT_GRANTED },
		{ !c->row.listeners.size || holds_line(c->row.listeners, m->listener), FAULT_LISTENER_NOT_GRANTED },
		{ !c->row.networks.size || is_in_networks(c, remote, &bits), FAULT_NETWORK_NOT_GRANTED },
	};

	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
		if (!rules[i].holds)
			return rules[i].otherwise;
	return FAULT_OK;
}

/* Networks recognise only clients without a password; the narrowest network wins. */
static struct registry_client *by_network(struct vault *v, const struct message_authorize *m, const struct address *remote)
{
	struct registry_client *c, *best = NULL;
	unsigned bits, best_bits = 0;
	size_t at = 0;

	while ((c = map_next(&v->registry.clients, &at))) {
		if (c->row.credential.size || !c->network_count || objection(v, c, m, remote) != FAULT_OK || !is_in_networks(c, remote, &bits))
			continue;
		if (!best || bits > best_bits || (bits == best_bits && c->row.id < best->row.id)) {
			best = c;
			best_bits = bits;
		}
	}
	return best;
}

static void count_failure(struct vault *v, const struct message_authorize *m, const struct registry_client *c, struct span credential, enum fault why)
{
	const struct ended *e = map_get(&v->ended_credentials, credential);
	struct refusal note = { .fault = why, .listener = m->listener, .remote = m->remote, .user = m->user };

	if (c) {
		note.client = c->row.id;
		note.organisation = c->row.organisation;
		note.name = c->row.name;
	} else if (e) {
		note.fault = FAULT_CLIENT_REVOKED;
		note.client = e->client;
		note.name = (struct span){ e->name, e->name_size };
	}
	refusals_note(v, &note);
}

/* Whoever is refused goes the same way, and hears the same, whatever the reason was. */
static struct registry_client *by_password(struct vault *v, const struct message_authorize *m, const struct address *remote, enum fault *fault_out)
{
	char memory[CLIENT_PASSWORD_CREDENTIAL_BYTES];
	struct span credential = client_password_credential(m->password, memory);
	struct span place = { (const char *)remote->bytes, remote->family == ADDRESS_IPV6 ? 16 : 4 };
	struct registry_client *c = map_get(&v->registry.client_credentials, credential);
	bool matches = client_password_matches(m->password, c ? c->row.verifier : (struct span){ 0 }, secret_borrow(v->password_key));
	enum fault why = !c ? FAULT_CREDENTIAL_UNKNOWN : matches ? objection(v, c, m, remote) : FAULT_CREDENTIAL_WRONG;

	*fault_out = FAULT_OK;
	if (why == FAULT_OK)
		return c;
	count_failure(v, m, c, credential, why);
	throttle_fail(v->throttle, place, loop_now_ms(v->loop));
	*fault_out = throttle_is_over(v->throttle, place, loop_now_ms(v->loop)) ? FAULT_TOO_MANY_LOGINS : FAULT_BAD_LOGIN;
	return NULL;
}

/* --- the grant */

struct making {
	struct vault *vault;
	const struct registry_client *client;
	struct arena *arena;
};

static struct span list_of(struct arena *a, const struct span *pieces, size_t count)
{
	struct buf list;
	struct span copy, line, rest;

	buf_init(&list, GRANT_BYTES_MAX);
	for (size_t i = 0; i < count; i++)
		for (rest = pieces[i]; rest.size && span_cut(&rest, '\n', &line);)
			if (line.size)
				message_list_put(&list, line);
	copy = arena_copy(a, buf_span(&list));
	buf_free(&list);
	return copy;
}

static void put_mailbox(struct making *k, struct grant_mailbox *out, const struct registry_mailbox *m, bool takes_senders)
{
	const struct registry_organisation *o = registry_by_id(&k->vault->registry.organisations, m->row.organisation);
	const struct span senders[] = { m->row.address, m->row.aliases, takes_senders ? k->client->row.senders : (struct span){ "", 0 } };

	*out = (struct grant_mailbox){
		.id = m->row.id,
		.address = m->row.address,
		.name = m->row.name,
		.senders = list_of(k->arena, senders, sizeof senders / sizeof *senders),
		.ready = mailbox_ready(k->vault, m),
		.language = m->row.language,
		.notice_mailbox = o ? o->row.notice_mailbox : 0,
		.organisation = o ? o->row.name : (struct span){ "", 0 },
	};
}

/* "from to" lines become a flat list of both. */
static struct span maps_of(struct making *k)
{
	char *text = arena_text(k->arena, k->client->row.maps);
	struct span pieces = { text, k->client->row.maps.size };

	for (size_t i = 0; i < pieces.size; i++)
		text[i] = (char)(text[i] == ' ' ? '\n' : text[i]);
	return list_of(k->arena, &pieces, 1);
}

static void put_mailboxes(struct making *k, struct grant *g)
{
	const struct client_row *row = &k->client->row;
	const struct registry_mailbox *m;

	g->mailboxes = arena_take(k->arena, sizeof *g->mailboxes * (row->mailbox_count + 1));
	g->default_mailbox = registry_by_id(&k->vault->registry.mailboxes, row->default_mailbox) ? row->default_mailbox : 0;
	for (size_t i = 0; i < row->mailbox_count; i++) {
		m = registry_by_id(&k->vault->registry.mailboxes, row->mailboxes[i]);
		if (!m)
			continue;
		/* Senders granted besides leave through the default mailbox, else through the first. */
		put_mailbox(k, &g->mailboxes[g->mailbox_count], m, g->default_mailbox ? m->row.id == g->default_mailbox : !g->mailbox_count);
		g->mailbox_count++;
	}
}

static bool make_grant(struct vault *v, const struct vault_peer *peer, const struct message_authorize *m, const struct registry_client *c,
		       struct buf *out)
{
	struct making k = { v, c, arena_new(VAULT_CHANGE_BYTES_MAX) };
	const struct registry_organisation *o = registry_by_id(&v->registry.organisations, c->row.organisation);
	struct grant g = {
		.gate = peer->index,
		.session = m->session,
		.client = c->row.id,
		.client_name = c->row.name,
		.organisation = o ? o->row.name : (struct span){ "", 0 },
		.protocol = (enum grant_protocol)m->protocol,
		.issued_at_ms = authorize_moment_ms(v, c->row.id),
		.sender_rule = (enum grant_sender_rule)c->row.sender_rule,
		.maps = maps_of(&k),
		.verdict_wait_ms = c->row.verdict_wait_ms < 0 ? v->config->verdict_wait_ms : c->row.verdict_wait_ms,
	};
	bool whole;

	g.expires_at_ms = g.issued_at_ms + GRANT_LIFETIME_MS;
	put_mailboxes(&k, &g);
	whole = grant_seal(out, &g, secret_borrow(v->mac_key));
	arena_free(&k.arena);
	return whole;
}

/* "192.0.2.1", "[2001:db8::1]:25" and all between; or a user of this machine. */
static bool read_remote(struct address *out, struct span text)
{
	size_t colon = text.size;

	if (local_user_parse(out, text) || address_parse(out, text, 0))
		return true;
	while (colon > 0 && text.at[colon - 1] != ':')
		colon--;
	return colon > 0 && address_parse(out, span_slice(text, 0, colon - 1), 0);
}

void authorize_client(struct vault *v, const struct vault_peer *peer, const struct message_authorize *m)
{
	struct address remote = { 0 };
	struct registry_client *c = NULL;
	enum fault fault = FAULT_BAD_LOGIN;
	struct buf grant;

	buf_init(&grant, GRANT_BYTES_MAX);
	if (m->protocol != GRANT_SMTP && m->protocol != GRANT_IMAP && m->protocol != GRANT_POP && m->protocol != GRANT_API)
		fault = FAULT_FORBIDDEN;
	else if (!read_remote(&remote, m->remote))
		fault = FAULT_FORBIDDEN;
	else if (m->mechanism == MECHANISM_NONE)
		fault = (c = by_network(v, m, &remote)) ? FAULT_OK : FAULT_AUTH_NEEDED;
	else
		c = by_password(v, m, &remote, &fault);
	if (c && !make_grant(v, peer, m, c, &grant))
		fault = FAULT_TOO_LARGE;
	if (c)
		c->used_at_ms = clock_wall_ms();
	metric_add(METRIC_LOGINS, fault == FAULT_OK ? "ok" : fault == FAULT_TOO_MANY_LOGINS ? "throttled" : "refused", 1);
	link_send(peer->link, &MESSAGE_OF(authorized, .session = m->session, .fault = fault, .grant = buf_span(&grant)));
	buf_free(&grant);
}

/* --- when clients were last seen, written once a minute */

struct used {
	size_t count;
	struct { uint64_t id; int64_t at_ms; } *clients;
};

static enum fault write_used(struct change *c, struct sqlite *db)
{
	const struct used *u = c->data;
	enum fault fault = FAULT_OK;

	for (size_t i = 0; i < u->count && fault == FAULT_OK; i++)
		fault = clients_used(db, u->clients[i].id, u->clients[i].at_ms);
	return fault;
}

static void used_written(struct change *c)
{
}

void authorize_store_use(struct vault *v)
{
	struct change *change = change_new(v, write_used, used_written, sizeof(struct used));
	struct used *u = change->data;
	struct registry_client *c;
	size_t at = 0;

	u->clients = arena_take(change->arena, sizeof *u->clients * (map_count(&v->registry.clients) + 1));
	while ((c = map_next(&v->registry.clients, &at)))
		if (c->used_at_ms != c->row.used_at_ms) {
			c->row.used_at_ms = c->used_at_ms;
			u->clients[u->count].id = c->row.id;
			u->clients[u->count++].at_ms = c->used_at_ms;
		}
	if (u->count)
		change_run_take(change);
	else
		change_drop(&change);
}
