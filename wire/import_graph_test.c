/* The example configuration of SMTP2Graph, and what is none. */
#include "wire/import_graph.h"

#include "tests/test.h"

static const char yaml[] = "mode: full\nsend:\n  appReg:\n    tenant: contoso # before .onmicrosoft.com\n    id: 01234567-89ab-cdef-0123-456789abcdef\n"
			   "    certificate:\n      thumbprint: 0123\n      privateKeyPath: client.key\n    secret: VGhpcw==\n"
			   "receive:\n  port: 587\n  ipWhitelist:\n    - 127.0.0.1\n    - 192.168.30.0/24\n    - fe80::/10\n"
			   "  allowedFrom:\n    - noreply@contoso.example\n    - something@contoso.example\n  allowedRcpt:\n    - r@x.example\n"
			   "  users:\n    - username: scanner\n      password: P@ssword!\n      allowedFrom:\n        - noreply@contoso.example\n"
			   "    - {username: erp, password: x}\n";

static void the_example(void **state)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *i = import_new(arena);

	assert_int_equal(import_graph_read(i, span_of(yaml)), FAULT_OK);
	assert_int_equal(i->account_count, 2);
	assert_span(i->accounts[0].address, "noreply@contoso.example");
	assert_span(i->accounts[0].registration.tenant, "contoso.onmicrosoft.com");
	assert_span(i->accounts[0].registration.client_secret, "VGhpcw==");
	assert_int_equal(i->accounts[0].sign_in, IMPORT_APPLICATION);
	assert_true(i->accounts[0].by_graph);
	assert_int_equal(i->client_count, 3);
	assert_span(i->clients[0].name, "scanner");
	assert_int_equal(i->clients[0].mailboxes.count, 1);
	assert_span(i->clients[1].name, "erp");
	assert_int_equal(i->clients[1].mailboxes.count, 2);
	assert_span(i->clients[2].name, "smtp2graph");
	assert_int_equal(i->clients[2].networks.count, 3);
	assert_int_equal(i->clients[2].mailboxes.count, 2);
	assert_int_equal(i->remarks[0].note, IMPORT_NOTE_KEY_FILE);
	assert_span(i->remarks[0].detail, "client.key");
	arena_free(&arena);
}

static void nobody_named(void **state)
{
	struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
	struct import *i = import_new(arena);

	assert_int_equal(import_graph_read(i, SPAN("send: {appReg: {tenant: a.example, id: x}}\n")), FAULT_OK);
	assert_int_equal(i->account_count, 0);
	assert_int_equal(i->remarks[0].note, IMPORT_NOTE_NO_SENDERS);
	arena_free(&arena);
}

static void what_is_none(void **state)
{
	static const char *const texts[] = { "", "a: b\n", "- 1\n", "send: [\n", "send: *unknown\n", "\x01", "just a text" };

	for (size_t at = 0; at < sizeof texts / sizeof *texts; at++) {
		struct arena *arena = arena_new(IMPORT_ARENA_BYTES);
		struct import *i = import_new(arena);

		assert_int_equal(import_graph_read(i, span_of(texts[at])), FAULT_MALFORMED);
		assert_true(i->why[0]);
		arena_free(&arena);
	}
}

TESTS(the_example, nobody_named, what_is_none)
