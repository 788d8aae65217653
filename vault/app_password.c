#include "base/clock.h"
#include "vault/arguments.h"
#include "vault/inner.h"

#include <stdio.h>

enum { PASSWORD_BYTES_MAX = 1024, GOOGLE_LETTERS = 16 };

static const struct span SUBJECT = { "app_password", 12 }, PASSWORD = { "password", 8 };

/* --- set, and tested at once */

struct edit {
	struct asker asker;
	struct app_password_row row;
	struct secret_row secret;
	bool is_removal;
};

static enum fault store(struct change *c, struct sqlite *db)
{
	const struct edit *e = c->data;
	enum fault fault;

	if (e->is_removal) {
		fault = secrets_remove(db, SUBJECT, e->row.mailbox, PASSWORD);
		return fault == FAULT_OK ? app_passwords_remove(db, e->row.mailbox) : fault;
	}
	fault = app_passwords_put(db, &e->row);
	return fault == FAULT_OK ? secrets_put(db, &e->secret) : fault;
}

static void done(struct change *c)
{
	const struct edit *e = c->data;
	struct vault *v = c->vault;
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, e->row.mailbox);

	if (c->fault != FAULT_OK || !m) {
		asker_answer(v, &e->asker, c->fault != FAULT_OK ? c->fault : FAULT_NOT_FOUND, SPAN(""), NULL);
		return;
	}
	if (e->is_removal)
		registry_remove_app_password(&v->registry, e->row.mailbox);
	else
		registry_put_app_password(&v->registry, &e->row);
	asker_note(v, &e->asker, m->row.address, operations_organisation(v, m->row.organisation));
	mailbox_mended(v, m->row.id);
	lookout_soon(v);
	if (e->is_removal)
		asker_answer(v, &e->asker, FAULT_OK, SPAN(""), NULL);
	else
		mailbox_test(v, &e->asker, m, WAY_APP_PASSWORD);
}

/* Google shows sixteen letters in four groups, and takes them with and without the blanks. Gives the number of bytes. */
static size_t without_blanks(char out[PASSWORD_BYTES_MAX], struct span password)
{
	size_t count = 0;

	for (size_t i = 0; i < password.size; i++) {
		char c = password.at[i];

		if (c == ' ')
			continue;
		if (((c | 0x20) < 'a' || (c | 0x20) > 'z') || count == GOOGLE_LETTERS)
			return 0;
		out[count++] = c;
	}
	return count == GOOGLE_LETTERS ? count : 0;
}

static void read_password(struct arguments *a, struct change *c, struct edit *e)
{
	struct span password = json_text(a->json, "password");
	char letters[PASSWORD_BYTES_MAX];
	size_t count;

	if (e->is_removal)
		return;
	if (!password.size || password.size > PASSWORD_BYTES_MAX)
		arguments_wrong(a, FAULT_MALFORMED, "password: needed, of at most %d bytes", PASSWORD_BYTES_MAX);
	if (span_find_byte(password, 0) < password.size)
		arguments_wrong(a, FAULT_MALFORMED, "password: no provider takes a NUL in it");
	if (a->fault != FAULT_OK)
		return;
	count = without_blanks(letters, password);
	e->secret = change_seal(c, SUBJECT, e->row.mailbox, PASSWORD, count ? (struct span){ letters, count } : password);
	secret_wipe(letters, sizeof letters);
}

static void set(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *m = map_get(&v->registry.mailbox_addresses, span_trim(json_text(json, "address")));
	struct change *c = change_new(v, store, done, sizeof(struct edit));
	struct edit *e = c->data;
	struct arguments a = { .json = json, .arena = c->arena };

	e->asker = *asker;
	e->row.user = (struct span){ "", 0 };
	e->row.actor = arena_copy(c->arena, span_of(asker->actor));
	e->row.made_at_ms = clock_wall_ms();
	arguments_word(&a, "user", &e->row.user);
	e->is_removal = arguments_has(&a, "password") && !json_text(json, "password").size;
	if (m) {
		e->row.mailbox = m->row.id;
		read_password(&a, c, e);
	} else {
		a.fault = FAULT_NOT_FOUND;
	}
	if (a.fault == FAULT_OK) {
		change_run_take(c);
		return;
	}
	asker_answer(v, asker, a.fault, span_of(a.why), NULL);
	change_drop(&c);
}

static void test(struct vault *v, const struct asker *asker, const json_t *json)
{
	const struct registry_mailbox *m = map_get(&v->registry.mailbox_addresses, span_trim(json_text(json, "address")));
	struct span name = json_text(json, "way");

	if (!m)
		asker_answer(v, asker, FAULT_NOT_FOUND, SPAN(""), NULL);
	else if (name.size && way_named(name) == WAY_NONE)
		asker_answer_print(v, asker, FAULT_MALFORMED, "way: there is no such way out: %.*s", (int)(name.size < 64 ? name.size : 64), name.at);
	else
		mailbox_test(v, asker, m, way_named(name));
}

const struct vault_operation app_password_operations[] = { { "mailbox.password", set }, { "mailbox.test", test }, { NULL, NULL } };

/* --- given to post */

static void give(struct vault *v, const struct lend_wish *f, enum fault fault, struct span password)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, f->mailbox);
	struct provider *p = m ? mailbox_provider(v, m) : NULL;
	struct message_token t = { .request = f->request, .mailbox = f->mailbox, .way = WAY_APP_PASSWORD, .fault = fault, .token = password };

	if (p) {
		t.host = provider_host(p);
		t.port = provider_port(p);
		t.tls = (uint8_t)provider_tls(p);
		t.mechanism = (uint8_t)provider_password_mechanism(p);
		t.tenant = provider_row(p)->tenant.size ? provider_row(p)->tenant : provider_row(p)->name;
	}
	if (m) {
		t.user = m->app_password.user.size ? m->app_password.user : m->row.address;
		t.address = m->row.address;
		t.language = (uint8_t)m->row.language;
	}
	vault_tell_one(v, ROLE_POST, f->post, &(struct message){ .type = MESSAGE_token, .fd = -1, .token = t });
}

void app_password_wanted(struct vault *v, const struct vault_peer *peer, const struct message_token_wanted *w)
{
	const struct registry_mailbox *m = registry_by_id(&v->registry.mailboxes, w->mailbox);
	const struct lend_wish wish = { .post = peer->index, .request = w->request, .mailbox = w->mailbox, .subject = SUBJECT, .name = PASSWORD,
					.row = w->mailbox, .missing = FAULT_PASSWORD_NOT_SET };

	if (!m || !m->row.enabled)
		give(v, &wish, m ? FAULT_MAILBOX_DISABLED : FAULT_NOT_LINKED, (struct span){ "", 0 });
	else
		lend_secret(v, &wish, give);
}
