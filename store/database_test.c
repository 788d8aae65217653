#include "store/database.h"

#include "store/clients.h"
#include "store/links.h"
#include "store/mailboxes.h"
#include "store/organisations.h"
#include "store/providers.h"
#include "store/refused.h"
#include "store/secrets.h"
#include "store/sign_ins.h"
#include "tests/test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
	char folder[64], path[96], why[256];
	struct sqlite *db;
};

static void set_up(struct bench *b)
{
	*b = (struct bench){ .folder = "/tmp/postern-store-XXXXXX" };
	assert_non_null(mkdtemp(b->folder));
	snprintf(b->path, sizeof b->path, "%s/vault.db", b->folder);
	assert_int_equal(database_open(&b->db, b->path, NULL, b->why), FAULT_OK);
}

static void tear_down(struct bench *b)
{
	char name[128];

	sqlite_close(&b->db);
	unlink(b->path);
	snprintf(name, sizeof name, "%s-wal", b->path);
	unlink(name);
	assert_int_equal(rmdir(b->folder), 0);
}

static void reopen(struct bench *b)
{
	sqlite_close(&b->db);
	assert_int_equal(database_open(&b->db, b->path, NULL, b->why), FAULT_OK);
}

static uint64_t fill(struct bench *b)
{
	uint64_t organisation, provider, mailbox, client;
	const struct organisation_row o = { .name = SPAN("School"), .title = SPAN("The School"), .language = LANGUAGE_FR };
	struct provider_row p = { .name = SPAN("m365"), .kind = SPAN("microsoft"), .client_id = SPAN("app"), .smtp_tls = -1, .mechanism = -1 };
	struct mailbox_row m = { .address = SPAN("Ann@example.com"), .aliases = SPAN("a@example.com\nb@example.com"), .enabled = true };
	struct client_row c = { .name = SPAN("copier"), .credential = SPAN("abc1234"), .verifier = SPAN("01234567890123456789012345678901"),
				.mailboxes = &mailbox, .mailbox_count = 1, .protocols = 1, .verdict_wait_ms = -1, .enabled = true };

	assert_int_equal(organisations_add(b->db, &o, &organisation), FAULT_OK);
	p.organisation = m.organisation = c.organisation = organisation;
	assert_int_equal(providers_add(b->db, &p, &provider), FAULT_OK);
	m.provider = provider;
	assert_int_equal(mailboxes_add(b->db, &m, &mailbox), FAULT_OK);
	c.default_mailbox = mailbox;
	assert_int_equal(clients_add(b->db, &c, &client), FAULT_OK);
	return mailbox;
}

static bool see_client(void *self, const struct client_row *c)
{
	assert_span(c->name, "copier");
	assert_span(c->credential, "abc1234");
	assert_int_equal(c->verifier.size, CLIENT_VERIFIER_BYTES);
	assert_int_equal(c->mailbox_count, *(uint64_t *)self ? 1 : 0);
	if (c->mailbox_count)
		assert_int_equal(c->mailboxes[0], *(uint64_t *)self);
	assert_int_equal(c->verdict_wait_ms, -1);
	return true;
}

static bool see_mailbox(void *self, const struct mailbox_row *m)
{
	assert_span(m->address, "Ann@example.com");
	assert_span(m->aliases, "a@example.com\nb@example.com");
	assert_true(m->enabled);
	++*(int *)self;
	return true;
}

static void rows_survive_reopening(void **state)
{
	struct bench b;
	uint64_t mailbox;
	int seen = 0;

	set_up(&b);
	mailbox = fill(&b);
	reopen(&b);
	assert_int_equal(clients_each(b.db, see_client, &mailbox), FAULT_OK);
	assert_int_equal(mailboxes_each(b.db, see_mailbox, &seen), FAULT_OK);
	assert_int_equal(seen, 1);
	tear_down(&b);
}

static void names_are_taken_once_whatever_their_case(void **state)
{
	struct bench b;
	uint64_t id;

	set_up(&b);
	fill(&b);
	assert_int_equal(organisations_add(b.db, &(struct organisation_row){ .name = SPAN("sCHOOL") }, &id), FAULT_EXISTS);
	assert_int_equal(mailboxes_add(b.db, &(struct mailbox_row){ .organisation = 1, .provider = 1, .address = SPAN("ANN@example.COM") }, &id),
			 FAULT_EXISTS);
	assert_int_equal(clients_add(b.db, &(struct client_row){ .organisation = 1, .name = SPAN("x"), .credential = SPAN("abc1234") }, &id),
			 FAULT_EXISTS);
	tear_down(&b);
}

static void what_is_needed_cannot_be_removed(void **state)
{
	struct bench b;
	uint64_t mailbox, none = 0;

	set_up(&b);
	mailbox = fill(&b);
	assert_int_equal(organisations_remove(b.db, 1), FAULT_IN_USE);
	assert_int_equal(providers_remove(b.db, 1), FAULT_IN_USE);
	assert_int_equal(sign_ins_put(b.db, &(struct sign_in_row){ .mailbox = mailbox + 7 }), FAULT_IN_USE);
	assert_int_equal(mailboxes_remove(b.db, mailbox), FAULT_OK);
	assert_int_equal(clients_each(b.db, see_client, &none), FAULT_OK);
	assert_int_equal(providers_remove(b.db, 1), FAULT_OK);
	tear_down(&b);
}

static void a_transaction_is_whole_or_not_at_all(void **state)
{
	struct bench b;
	uint64_t id;
	int seen = 0;

	set_up(&b);
	fill(&b);
	assert_int_equal(sqlite_begin(b.db), FAULT_OK);
	assert_int_equal(mailboxes_add(b.db, &(struct mailbox_row){ .organisation = 1, .provider = 1, .address = SPAN("x@example.com") }, &id), FAULT_OK);
	assert_int_equal(sqlite_end(b.db, FAULT_FORBIDDEN), FAULT_FORBIDDEN);
	assert_int_equal(mailboxes_each(b.db, see_mailbox, &seen), FAULT_OK);
	assert_int_equal(seen, 1);
	tear_down(&b);
}

static void a_link_is_spent_once(void **state)
{
	struct bench b;
	struct link_row l = { .digest = SPAN("d"), .actor = SPAN("root"), .expires_at_ms = 1000 };
	uint64_t id;

	set_up(&b);
	l.mailbox = fill(&b);
	assert_int_equal(links_add(b.db, &l, &id), FAULT_OK);
	assert_int_equal(links_spend(b.db, id), FAULT_OK);
	assert_int_equal(links_spend(b.db, id), FAULT_LINK_SPENT);
	assert_int_equal(links_forget(b.db, 1001), FAULT_OK);
	assert_int_equal(links_spend(b.db, id), FAULT_LINK_SPENT);
	tear_down(&b);
}

static bool count_refused(void *self, const struct refused_row *r)
{
	++*(int *)self;
	return true;
}

static void refusals_are_found_by_client_and_organisation(void **state)
{
	struct bench b;
	int seen = 0;

	set_up(&b);
	for (int i = 0; i < 5; i++)
		assert_int_equal(refused_add(b.db, &(struct refused_row){ .at_ms = i, .fault = SPAN("BAD_LOGIN"), .organisation = (uint64_t)i % 2,
									  .name = i < 3 ? SPAN("Copier") : SPAN("") }), FAULT_OK);
	assert_int_equal(refused_each(b.db, SPAN("copier"), 0, 10, count_refused, &seen), FAULT_OK);
	assert_int_equal(seen, 3);
	assert_int_equal(refused_each(b.db, SPAN(""), 1, 10, count_refused, &seen), FAULT_OK);
	assert_int_equal(seen, 5);
	assert_int_equal(refused_each(b.db, SPAN(""), 0, 4, count_refused, &seen), FAULT_OK);
	assert_int_equal(seen, 9);
	assert_int_equal(refused_forget(b.db), FAULT_OK);
	tear_down(&b);
}

static void count_secret(void *self, const struct secret_row *s)
{
	++*(int *)self;
}

static void a_key_ends_only_when_nothing_is_sealed_under_it(void **state)
{
	struct bench b;
	uint64_t first, second;
	int seen = 0;

	set_up(&b);
	assert_int_equal(keys_add(b.db, 1, &first), FAULT_OK);
	assert_int_equal(keys_add(b.db, 2, &second), FAULT_OK);
	assert_int_equal(keys_age(b.db, second), FAULT_OK);
	assert_int_equal(secrets_put(b.db, &(struct secret_row){ SPAN("vault"), 0, SPAN("x"), first, SPAN("sealed") }), FAULT_OK);
	assert_int_equal(keys_end(b.db, first, 3), FAULT_IN_USE);
	assert_int_equal(secrets_each_old(b.db, second, 10, count_secret, &seen), FAULT_OK);
	assert_int_equal(seen, 1);
	assert_int_equal(secrets_put(b.db, &(struct secret_row){ SPAN("vault"), 0, SPAN("x"), second, SPAN("again") }), FAULT_OK);
	assert_int_equal(keys_end(b.db, first, 3), FAULT_OK);
	assert_int_equal(secrets_each_old(b.db, second, 10, count_secret, &seen), FAULT_OK);
	assert_int_equal(seen, 1);
	tear_down(&b);
}

/* Each statement of the table was prepared by opening; this shows that one that does not fit is found there. */
static void a_statement_that_does_not_fit_is_found_at_the_start(void **state)
{
	static const char *const migrations[] = { "CREATE TABLE a (b);" }, *const statements[] = { "SELECT c FROM a" };
	const struct sqlite_schema schema = { 7, migrations, 1, statements, 1 };
	struct sqlite *db;
	char why[256];

	assert_int_equal(sqlite_open(&db, ":memory:", NULL, &schema, why), FAULT_DATABASE_FAILED);
	assert_null(db);
}

TESTS(rows_survive_reopening, names_are_taken_once_whatever_their_case, what_is_needed_cannot_be_removed, a_transaction_is_whole_or_not_at_all,
      a_link_is_spent_once, refusals_are_found_by_client_and_organisation, a_key_ends_only_when_nothing_is_sealed_under_it,
      a_statement_that_does_not_fit_is_found_at_the_start)
