#include "vault/vault.h"
#include "vault/connector.h"
#include "vault/notices.h"
#include "vault/troubles.h"

#include "base/clock.h"
#include "base/panic.h"
#include "base/seal.h"
#include "base/text.h"
#include "loop/disk.h"
#include "store/database.h"

#include <stdio.h>
#include <stdlib.h>

enum { WHY_BYTES = 256, WAITING_MAX = 10000, CA_BYTES_MAX = 8 * 1024 * 1024, MINUTE_MS = 60 * 1000, KEEP_ALIVE_MOST = 32 };

static const struct span VAULT = { "vault", 5 }, PASSWORD_KEY = { "client_password_key", 19 };

/* --- the list of what waits for an answer from outside */

void vault_pending_add(struct vault *v, struct vault_pending *p, void (*drop)(void *self), void *self)
{
	*p = (struct vault_pending){ v->pending, &v->pending, drop, self };
	if (p->next)
		p->next->at = &p->next;
	v->pending = p;
}

void vault_pending_remove(struct vault_pending *p)
{
	if (!p->at)
		return;
	*p->at = p->next;
	if (p->next)
		p->next->at = p->at;
	*p = (struct vault_pending){ 0 };
}

/* --- the other roles */

void vault_tell(struct vault *v, enum role role, const struct message *m)
{
	for (size_t i = 0; i < v->peer_count; i++)
		if (v->peers[i]->role == role)
			link_send(v->peers[i]->link, m);
}

void vault_tell_one(struct vault *v, enum role role, unsigned index, const struct message *m)
{
	for (size_t i = 0; i < v->peer_count; i++)
		if (v->peers[i]->role == role && v->peers[i]->index == index) {
			link_send(v->peers[i]->link, m);
			return;
		}
}

static void note_refused(struct vault *v, const struct message_refused *m)
{
	const struct registry_client *c = registry_by_id(&v->registry.clients, m->client);
	const struct refusal note = { .fault = (enum fault)(m->fault % FAULT_COUNT), .client = m->client, .listener = m->listener,
				      .remote = m->remote, .user = m->user, .sender = m->sender, .recipient = m->recipient,
				      .name = c ? c->row.name : (struct span){ "", 0 }, .organisation = c ? c->row.organisation : 0 };

	refusals_note(v, &note);
}

static void on_message(void *self, struct link *link, const struct message *m)
{
	const struct vault_peer *peer = self;
	struct vault *v = peer->vault;

	switch (m->type) {
	case MESSAGE_authorize: authorize_client(v, peer, &m->authorize); break;
	case MESSAGE_refused: note_refused(v, &m->refused); break;
	case MESSAGE_token_wanted: refresh_wanted(v, peer, &m->token_wanted); break;
	case MESSAGE_segment_key_wanted: segments_key_wanted(v, peer, &m->segment_key_wanted); break;
	case MESSAGE_segment_unwrap: segments_unwrap(v, peer, &m->segment_unwrap); break;
	case MESSAGE_segment_rotated: rotate_post_done(v, peer, &m->segment_rotated); break;
	case MESSAGE_hold_cause: troubles_told(v, &m->hold_cause); break;
	case MESSAGE_noticed: notices_taken(v, &m->noticed); break;
	case MESSAGE_call: operations_call(v, peer, &m->call); break;
	case MESSAGE_answer: vault_backup_answered(v, peer, &m->answer); break;
	case MESSAGE_probed: probe_answered(v, &m->probed); break;
	case MESSAGE_address_seen: connector_seen(v, &m->address_seen); break;
	default: break;
	}
}

static void peer_free(struct vault *v, size_t at)
{
	struct vault_peer *peer = v->peers[at];

	timer_stop(&peer->tell);
	link_close(&peer->link);
	free(peer);
	v->peers[at] = v->peers[--v->peer_count];
}

static void on_ended(void *self, struct link *link)
{
	const struct vault_peer *peer = self;
	struct vault *v = peer->vault;
	enum role role = peer->role;

	TRAIL(&v->trail, EVENT_LINK_ENDED, TRAIL_TEXT("peer", span_of(role_name(peer->role))));
	for (size_t i = 0; i < v->peer_count; i++)
		if (v->peers[i] == peer) {
			peer_free(v, i);
			break;
		}
	if (role == ROLE_POST)
		probe_post_ended(v);
}

static const struct link_events peer_events = { on_message, on_ended, NULL };

static void vault_peer_came(void *self, enum role role, unsigned index, int fd)
{
	struct vault *v = self;
	struct vault_peer *peer;

	for (size_t i = v->peer_count; i-- > 0;)
		if (v->peers[i]->role == role && v->peers[i]->index == index)
			peer_free(v, i);
	ASSERT(v->peer_count < VAULT_PEERS_MAX);
	peer = calloc(1, sizeof *peer);
	if (!peer)
		panic("out of memory");
	*peer = (struct vault_peer){ .vault = v, .role = role, .index = index };
	peer->link = link_new_take(v->loop, fd, ROLE_VAULT, role, index, &peer_events, peer);
	v->peers[v->peer_count++] = peer;
	if (role != ROLE_POST)
		return;
	troubles_post_came(v);
	authorize_tell(v, peer);
	mailbox_tell_all(v, peer);
	rotate_post_came(v, peer);
}

/* --- the beginning */

static bool load_organisation(void *self, const struct organisation_row *row)
{
	registry_put_organisation(self, row);
	return true;
}

static bool load_provider(void *self, const struct provider_row *row)
{
	registry_put_provider(self, row);
	return true;
}

static bool load_mailbox(void *self, const struct mailbox_row *row)
{
	registry_put_mailbox(self, row);
	return true;
}

static bool load_client(void *self, const struct client_row *row)
{
	registry_put_client(self, row);
	return true;
}

static bool load_sign_in(void *self, const struct sign_in_row *row)
{
	registry_put_sign_in(self, row);
	return true;
}

static bool load_app_password(void *self, const struct app_password_row *row)
{
	registry_put_app_password(self, row);
	return true;
}

static enum fault load_rows(struct vault *v)
{
	enum fault fault = organisations_each(v->db, load_organisation, &v->registry);

	if (fault == FAULT_OK)
		fault = providers_each(v->db, load_provider, &v->registry);
	if (fault == FAULT_OK)
		fault = mailboxes_each(v->db, load_mailbox, &v->registry);
	if (fault == FAULT_OK)
		fault = sign_ins_each(v->db, load_sign_in, &v->registry);
	if (fault == FAULT_OK)
		fault = app_passwords_each(v->db, load_app_password, &v->registry);
	return fault == FAULT_OK ? clients_each(v->db, load_client, &v->registry) : fault;
}

struct opened {
	struct vault *vault;
	struct secret *secret;
	enum fault fault;
};

static void open_secret(void *self, const struct secret_row *row)
{
	struct opened *o = self;
	struct buf text;

	buf_init(&text, KEYRING_SEALED_BYTES_MAX);
	o->fault = keyring_unseal(o->vault->keys, &text, row);
	if (o->fault == FAULT_OK)
		o->secret = secret_new(buf_span(&text));
	else
		TRAIL(&o->vault->trail, EVENT_SECRET_SHUT, TRAIL_TEXT("what", row->name));
	buf_wipe(&text);
}

/* It was read before it was stored. */
static struct signing_key *key_of(struct secret *pem)
{
	struct signing_key *key = NULL;
	char why[256];

	if (pem && signing_key_read(&key, secret_borrow(pem), true, why) != FAULT_OK)
		return NULL;
	return key;
}

/* A secret that does not open leaves its provider without one: the provider then says so, and the log has said why. */
static enum fault make_providers(struct vault *v)
{
	struct registry_provider *p;
	size_t at = 0;

	while ((p = map_next(&v->registry.providers, &at))) {
		struct opened o = { v, NULL, FAULT_OK }, pem = o;
		enum fault fault = secrets_get(v->db, SPAN("provider"), p->row.id, SPAN("client_secret"), open_secret, &o);

		if (fault == FAULT_OK)
			fault = secrets_get(v->db, SPAN("provider"), p->row.id, SPAN("client_certificate"), open_secret, &pem);
		if (fault != FAULT_OK)
			return fault;
		p->provider = provider_new_take(v->loop, v->http, &p->row, o.secret, key_of(pem.secret));
		secret_free(&pem.secret);
	}
	return FAULT_OK;
}

/* The key that client passwords are checked with is made once, and sealed as every secret. */
static enum fault load_password_key(struct vault *v)
{
	struct opened o = { v, NULL, FAULT_OK };
	struct secret_row place = { .subject = VAULT, .name = PASSWORD_KEY };
	enum fault fault = secrets_get(v->db, VAULT, 0, PASSWORD_KEY, open_secret, &o);
	struct buf sealed;

	v->password_key = o.secret;
	if (fault != FAULT_OK || o.fault != FAULT_OK || o.secret)
		return fault == FAULT_OK ? o.fault : fault;
	v->password_key = secret_random(SEAL_KEY_BYTES);
	buf_init(&sealed, KEYRING_SEALED_BYTES_MAX);
	fault = keyring_seal(v->keys, &sealed, &place, secret_borrow(v->password_key)) ? secrets_put(v->db, &place) : FAULT_BUG;
	buf_free(&sealed);
	return fault;
}

static enum fault open_store(struct vault *v, const struct role_start *s, char *why_out)
{
	char path[512], folder[512];
	enum fault fault;

	snprintf(folder, sizeof folder, "%.*s/vault", SPAN_ARGS(s->config->data));
	fault = keyring_open(&v->keys, role_file(s, SPAN("key_encryption_key"), SPAN("")));
	if (fault == FAULT_OK) {
		snprintf(why_out, WHY_BYTES, "%s", folder);
		fault = disk_open(&v->disk, folder, true);
	}
	if (fault != FAULT_OK)
		return fault;
	disk_sqlite_path(v->disk, "vault.db", path);
	fault = database_open(&v->db, path, disk_sqlite_vfs(v->disk), why_out);
	if (fault == FAULT_OK)
		fault = keyring_load(v->keys, v->db, clock_wall_ms());
	if (fault == FAULT_OK)
		fault = load_password_key(v);
	return fault == FAULT_OK ? load_rows(v) : fault;
}

static void open_outside(struct vault *v, const struct role_start *s)
{
	struct buf ca;

	buf_init(&ca, CA_BYTES_MAX);
	v->dns = dns_new(v->loop, role_file(s, SPAN("resolv_conf"), SPAN("")), role_file(s, SPAN("hosts"), SPAN("")));
	role_files(s, SPAN("ca"), &ca);
	v->http = http_client_new(v->loop, v->dns, buf_span(&ca));
	buf_free(&ca);
}

static void each_minute(void *self)
{
	struct vault *v = self;

	tokens_keep_alive(v->tokens, KEEP_ALIVE_MOST);
	consent_tidy(v);
	authorize_store_use(v);
	mailbox_count(v);
	notices_send(v);
	timer_after(&v->minute, MINUTE_MS);
}

/* Ready once it is out of start(); drained once nothing waits to be stored. */
static void soon(void *self)
{
	struct vault *v = self;
	void (*ready)(void *, enum fault, struct span) = v->ready;
	void (*drained)(void *) = v->drained;

	v->ready = NULL;
	if (ready)
		ready(v->host, FAULT_OK, SPAN(""));
	if (!v->is_draining || v->changes || !drained)
		return;
	v->drained = NULL;
	drained(v->host);
}

static void say_opened(struct vault *v)
{
	TRAIL(&v->trail, EVENT_VAULT_OPENED, TRAIL_NUMBER("schema", database_schema_number()),
	      TRAIL_NUMBER("organisations", map_count(&v->registry.organisations)),
	      TRAIL_NUMBER("providers", map_count(&v->registry.providers)), TRAIL_NUMBER("mailboxes", map_count(&v->registry.mailboxes)),
	      TRAIL_NUMBER("clients", map_count(&v->registry.clients)));
}

static void vault_free(void **self)
{
	struct vault *v = *self;
	struct registry_provider *p;
	size_t at = 0;

	if (!v)
		return;
	timer_stop(&v->soon);
	timer_stop(&v->minute);
	timer_stop(&v->probe_soon);
	if (v->refusals)
		refusals_flush(v);
	/* Its last results come in here, and may find everything still in place. */
	v->is_closing = true;
	if (v->pool)
		pool_free(&v->pool);
	timer_stop(&v->soon);
	while (v->pending)
		v->pending->drop(v->pending->self);
	tokens_free(&v->tokens);
	while (v->peer_count)
		peer_free(v, v->peer_count - 1);
	while ((p = map_next(&v->registry.providers, &at)))
		provider_free(&p->provider);
	rotate_free(v);
	vault_backup_free(v);
	lookout_free(v);
	troubles_free(v);
	notices_free(v);
	device_free(v);
	consent_free(v);
	refusals_free(v);
	throttle_free(&v->throttle);
	authorize_free(v);
	registry_fini(&v->registry);
	http_client_free(&v->http);
	dns_free(&v->dns);
	sqlite_close(&v->db);
	disk_close(&v->disk);
	keyring_close(&v->keys);
	buf_free(&v->public_url);
	secret_free(&v->password_key);
	secret_free(&v->mac_key);
	free(v);
	*self = NULL;
}

static void begin(struct vault *v, const struct role_start *s)
{
	v->pool = pool_new(v->loop, &(struct pool_settings){ .name = "store", .threads = 1, .waiting_max = WAITING_MAX });
	v->throttle = throttle_new((unsigned)s->config->login_failures_max);
	authorize_start(v);
	refusals_start(v);
	refresh_start(v);
	consent_start(v);
	device_start(v);
	rotate_start(v);
	vault_backup_start(v);
	lookout_certificates(v, s);
	timer_init(&v->soon, v->loop, soon, v);
	timer_init(&v->minute, v->loop, each_minute, v);
	timer_init(&v->probe_soon, v->loop, probe_soon, v);
	timer_after(&v->soon, 0);
	timer_after(&v->minute, MINUTE_MS);
	say_opened(v);
}

static enum fault vault_start(void **self_out, struct loop *loop, const struct role_start *s, char *why_out)
{
	struct vault *v = calloc(1, sizeof *v);
	enum fault fault;

	if (!v)
		panic("out of memory");
	json_begin();
	*v = (struct vault){ .loop = loop, .config = s->config, .ready = s->ready, .drained = s->drained, .host = s->host,
			     .mac_key = secret_new(s->mac_key) };
	trail_init(&v->trail, "vault", SPAN(""));
	registry_init(&v->registry);
	buf_init(&v->public_url, VAULT_URL_BYTES);
	*why_out = 0;
	fault = open_store(v, s, why_out);
	if (fault == FAULT_OK) {
		open_outside(v, s);
		fault = make_providers(v);
	}
	if (fault == FAULT_OK)
		fault = notices_start(v);
	if (fault == FAULT_OK)
		fault = troubles_start(v);
	if (fault == FAULT_OK)
		fault = lookout_start(v);
	if (fault != FAULT_OK) {
		if (!*why_out || fault == FAULT_KEY_WRONG || fault == FAULT_KEY_UNREADABLE)
			snprintf(why_out, WHY_BYTES, "%s", fault_row(fault)->says[LANGUAGE_EN]);
		vault_free((void **)&v);
		return fault;
	}
	begin(v, s);
	*self_out = v;
	return FAULT_OK;
}

static enum fault vault_reload(void *self, const struct role_start *s, char *why_out)
{
	struct vault *v = self;
	enum fault fault = keyring_check(v->keys, role_file(s, SPAN("key_encryption_key"), SPAN("")));
	struct buf ca;

	if (fault != FAULT_OK) {
		snprintf(why_out, WHY_BYTES, "key file: %s", fault_row(fault)->says[LANGUAGE_EN]);
		return fault;
	}
	buf_init(&ca, CA_BYTES_MAX);
	role_files(s, SPAN("ca"), &ca);
	http_client_trust(v->http, buf_span(&ca));
	buf_free(&ca);
	lookout_certificates(v, s);
	throttle_limit(v->throttle, (unsigned)s->config->login_failures_max);
	v->config = s->config;
	return FAULT_OK;
}

static void vault_drain(void *self)
{
	struct vault *v = self;

	v->is_draining = true;
	refusals_flush(v);
	timer_after(&v->soon, 0);
}

const struct role_face vault_role = { ROLE_VAULT, vault_start, vault_peer_came, vault_reload, vault_drain, vault_free };
