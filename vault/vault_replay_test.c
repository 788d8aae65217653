/* The role itself: what people change, what happens when disk, key or database fail, and keys that rotate while everything runs. */
#include "tests/vault_stage.h"

#include "vault/keyring.h"

static void settings_are_added_shown_changed_and_removed(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "org.set", "{'name':'school','title':'The School','notice_mailbox':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "notice_mailbox"), "ann@example.com");
	assert_string_equal(stage_text(&s, "language"), "fr");
	assert_int_equal(stage_call(&s, "provider.show", "{'name':'M365'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "redirect_uri"), "https://mail.example.com/oauth/callback");
	assert_string_equal(stage_text(&s, "mechanism"), "xoauth2");
	assert_true(json_is_true(json_object_get(s.result, "client_secret")));
	assert_int_equal(stage_call(&s, "provider.set", "{'name':'m365','smtp_port':'25'}"), FAULT_OK);
	assert_int_equal(json_integer_value(json_object_get(s.result, "smtp_port")), 25);
	assert_true(json_is_true(json_object_get(s.result, "client_secret")));
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','alias':[''],'owner':'owner@example.com'}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "alias")), 0);
	assert_int_equal(stage_call(&s, "mailbox.list", "{'org':'school'}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "items")), 1);
	assert_int_equal(stage_call(&s, "mailbox.list", "{'org':'other'}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "items")), 0);
	assert_int_equal(stage_call(&s, "org.remove", "{'name':'school'}"), FAULT_IN_USE);
	assert_int_equal(stage_call(&s, "provider.remove", "{'name':'m365'}"), FAULT_IN_USE);
	assert_int_equal(stage_call(&s, "mailbox.remove", "{'address':'ANN@example.com'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "provider.remove", "{'name':'m365'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "org.show", "{'name':'school'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "notice_mailbox"), "");
	assert_int_equal(stage_call(&s, "org.remove", "{'name':'school'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "org.list", "{}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "items")), 0);
	stage_end(&s);
}

static void what_is_wrong_is_refused_by_name(void **state)
{
	static const struct {
		const char *operation, *arguments;
		enum fault fault;
		const char *says;
	} cases[] = {
		{ "org.add", "{}", FAULT_MALFORMED, "name" },
		{ "org.add", "{'name':'a b'}", FAULT_MALFORMED, "name" },
		{ "org.add", "{'name':'a@b'}", FAULT_MALFORMED, "name" },
		{ "org.add", "{'name':7}", FAULT_MALFORMED, "name" },
		{ "org.add", "{'name':'School'}", FAULT_EXISTS, "" },
		{ "org.add", "{'name':'x','language':'de'}", FAULT_MALFORMED, "language" },
		{ "org.set", "{'name':'nobody'}", FAULT_NOT_FOUND, "" },
		{ "org.set", "{'name':'school','notice_mailbox':'x@y.example'}", FAULT_NOT_FOUND, "notice_mailbox" },
		{ "provider.add", "{'name':'p','org':'school','kind':'nonsense','client_id':'x'}", FAULT_MALFORMED, "kind" },
		{ "provider.add", "{'name':'p','org':'nobody','kind':'microsoft','client_id':'x'}", FAULT_NOT_FOUND, "org" },
		{ "provider.add", "{'name':'p','org':'school','kind':'oidc','client_id':'x','smtp_host':'h'}", FAULT_MALFORMED, "issuer" },
		{ "provider.add", "{'name':'p','org':'school','kind':'microsoft','client_id':'x','issuer':'http://evil.example'}", FAULT_MALFORMED, "issuer" },
		{ "provider.add", "{'name':'p','org':'school','kind':'microsoft','client_id':'x','smtp_tls':'none'}", FAULT_TLS_MISSING, "smtp-tls" },
		{ "provider.add", "{'name':'p','org':'school','kind':'microsoft','client_id':'x','smtp_port':'70000'}", FAULT_MALFORMED, "smtp_port" },
		{ "provider.add", "{'name':'p','org':'school','kind':'microsoft','client_id':'x','client_secret':'01234567-89ab-cdef-0123-456789abcdef'}",
		  FAULT_MALFORMED, "Value" },
		{ "mailbox.add", "{'address':'no address','org':'school','provider':'m365'}", FAULT_MALFORMED, "address" },
		{ "mailbox.add", "{'address':'ANN@example.com','org':'school','provider':'m365'}", FAULT_EXISTS, "" },
		{ "mailbox.add", "{'address':'b@example.com','org':'school','provider':'other'}", FAULT_NOT_FOUND, "provider" },
		{ "mailbox.add", "{'address':'b@example.com','org':'school'}", FAULT_MALFORMED, "provider" },
		{ "mailbox.add", "{'address':'b@example.com','org':'school','provider':'m365','alias':['ann@example.com']}", FAULT_EXISTS, "alias" },
		{ "mailbox.set", "{'address':'ann@example.com','enabled':'perhaps'}", FAULT_MALFORMED, "enabled" },
		{ "mailbox.link", "{'address':'nobody@example.com'}", FAULT_NOT_FOUND, "" },
		{ "mailbox.set", "{'address':'ann@example.com','way':['pigeon']}", FAULT_MALFORMED, "way" },
		{ "mailbox.set", "{'address':'ann@example.com','way':['smtp','SMTP']}", FAULT_MALFORMED, "way" },
		{ "org.set", "{'name':'school','way':['pigeon']}", FAULT_MALFORMED, "way" },
		{ "mailbox.password", "{'address':'nobody@example.com','password':'x'}", FAULT_NOT_FOUND, "" },
		{ "mailbox.password", "{'address':'ann@example.com'}", FAULT_MALFORMED, "password" },
		{ "mailbox.test", "{'address':'nobody@example.com'}", FAULT_NOT_FOUND, "" },
		{ "mailbox.test", "{'address':'ann@example.com','way':'pigeon'}", FAULT_MALFORMED, "way" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['nobody@example.com']}", FAULT_NOT_FOUND, "nobody@example.com" },
		{ "client.add", "{'name':'c','org':'school'}", FAULT_MALFORMED, "mailbox" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['ann@example.com'],'network':['10.0.0.1/8']}", FAULT_MALFORMED, "network" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['ann@example.com'],'no_password':true}", FAULT_MALFORMED, "network" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['ann@example.com'],'sender':['x']}", FAULT_MALFORMED, "sender" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['ann@example.com'],'sender_rule':'map'}", FAULT_MALFORMED, "map" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['ann@example.com'],'map':['x']}", FAULT_MALFORMED, "map" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['ann@example.com'],'protocol':['telnet']}", FAULT_MALFORMED, "protocol" },
		{ "client.add", "{'name':'c','org':'school','mailbox':['ann@example.com'],'verdict_wait':'700'}", FAULT_MALFORMED, "verdict_wait" },
		{ "client.password", "{'name':'nobody'}", FAULT_NOT_FOUND, "" },
		{ "client.refused", "{'limit':'many'}", FAULT_MALFORMED, "limit" },
		{ "nonsense", "{}", FAULT_NOT_FOUND, "" },
		{ "org.list", "[1]", FAULT_MALFORMED, "" },
		{ "org.list", "{'a':1,'a':2}", FAULT_MALFORMED, "" },
	};
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(stage_call(&s, cases[i].operation, "%s", cases[i].arguments), cases[i].fault);
		assert_non_null(strstr(s.answer_why, cases[i].says));
	}
	assert_int_equal(stage_call(&s, "status", "{}"), FAULT_OK);
	assert_int_equal(json_integer_value(json_object_get(s.result, "organisations")), 1);
	assert_int_equal(json_integer_value(json_object_get(s.result, "clients")), 0);
	stage_end(&s);
}

static void long_lists_come_in_pages(void **state)
{
	char after[64] = "";
	size_t seen = 0, pages = 0;
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	for (int i = 0; i < 24; i++)
		assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'user%d@example.com','org':'school','provider':'m365'}", i), FAULT_OK);
	do {
		assert_int_equal(stage_call(&s, "mailbox.list", "{'limit':'10','after':'%s','org':'school'}", after), FAULT_OK);
		seen += json_array_size(json_object_get(s.result, "items"));
		snprintf(after, sizeof after, "%s", stage_text(&s, "next"));
		pages++;
	} while (*after);
	assert_int_equal(seen, 25);
	assert_int_equal(pages, 3);
	stage_end(&s);
}

/* One organisation has no hand on what belongs to another. */
static void organisations_are_kept_apart(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "org.add", "{'name':'other'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'eve@other.example','org':'other','provider':'m365'}"), FAULT_NOT_FOUND);
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'own','org':'other','kind':'smtp','smtp_host':'localhost','smtp_tls':'none'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'eve@other.example','org':'other','provider':'own'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "client.add", "{'name':'c','org':'other','mailbox':['ann@example.com']}"), FAULT_NOT_FOUND);
	assert_int_equal(stage_call(&s, "client.add", "{'name':'c','org':'other','mailbox':['eve@other.example'],'sender':['ann@example.com']}"),
			 FAULT_FORBIDDEN);
	assert_int_equal(stage_call(&s, "org.set", "{'name':'other','notice_mailbox':'ann@example.com'}"), FAULT_NOT_FOUND);
	stage_end(&s);
}

/* A server that wants no sign-in: ready at once, and post gets no token for it. */
static void a_plain_server_needs_no_link(void **state)
{
	struct stage s;

	stage_begin(&s);
	assert_int_equal(stage_call(&s, "org.add", "{'name':'o'}"), FAULT_OK);
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'p','org':'o','kind':'smtp','smtp_host':'localhost','smtp_port':2525,'smtp_tls':'none'}"),
			 FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'a@o.example','org':'o','provider':'p'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "ready");
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_int_equal(s.token.mechanism, 0);
	assert_int_equal(s.token.tls, 0);
	assert_int_equal(s.token.port, 2525);
	assert_string_equal(s.access_token, "");
	assert_int_equal(stage_call(&s, "mailbox.link", "{'address':'a@o.example'}"), FAULT_FORBIDDEN);
	stage_end(&s);
}

/* --- tokens */

static void tokens_are_renewed_held_and_mended(void **state)
{
	struct stage s;
	unsigned mended;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	stage_pass(&s, 2 * 3600 * 1000);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_true(s.idp.tokens >= 2);
	/* A policy blocks the next renewal. */
	s.idp.token_status = 400;
	s.idp.token_body = "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS53003: Access has been blocked by Conditional Access policies.\"}";
	stage_pass(&s, 3 * 3600 * 1000);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OAUTH_POLICY_BLOCKED);
	assert_non_null(strstr(s.token_why, "AADSTS53003"));
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "needs a sign-in");
	assert_non_null(strstr(stage_text(&s, "provider_says"), "AADSTS53003"));
	assert_int_equal(stage_call(&s, "status", "{}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "attention")), 1);
	/* The vault dies; the trouble is remembered. The administrator mends it, the next question notices, and post hears of it. */
	stage_kill(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.show", "{'address':'ann@example.com'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "needs a sign-in");
	s.idp.token_body = NULL;
	mended = s.mended;
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	stage_pass(&s, 100);
	assert_int_equal(s.mended, mended + 1);
	assert_int_equal(s.mended_mailbox, 1);
	stage_end(&s);
}

static void a_disabled_mailbox_gets_no_token(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','enabled':false}"), FAULT_OK);
	stage_pass(&s, 100);
	assert_false(s.state_enabled);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_MAILBOX_DISABLED);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','enabled':true}"), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	stage_end(&s);
}

static void another_provider_wants_another_sign_in(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	assert_int_equal(stage_call(&s, "provider.add", "{'name':'second','org':'school','kind':'microsoft','client_id':'app-2','issuer':'%s'}",
				    s.idp.issuer), FAULT_OK);
	assert_int_equal(stage_call(&s, "mailbox.set", "{'address':'ann@example.com','provider':'second'}"), FAULT_OK);
	assert_string_equal(stage_text(&s, "state"), "not linked");
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_NOT_LINKED);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_NOT_LINKED);
	stage_end(&s);
}

/* --- bad disks, keys and databases */

static void a_changed_key_is_noticed(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_stop(&s);
	s.key_file = SPAN("another key, of thirty-two bytes");
	assert_int_equal(stage_start(&s), FAULT_KEY_WRONG);
	loop_free(&s.vault_loop);
	s.key_file = SPAN("nonsense");
	assert_int_equal(stage_start(&s), FAULT_KEY_UNREADABLE);
	loop_free(&s.vault_loop);
	s.key_file = SPAN("");
	assert_int_equal(stage_start(&s), FAULT_KEY_UNREADABLE);
	loop_free(&s.vault_loop);
	s.key_file = SPAN(STAGE_KEY);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_call(&s, "org.show", "{'name':'school'}"), FAULT_OK);
	stage_end(&s);
}

static void a_damaged_database_is_noticed(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_stop(&s);
	assert_true(world_disk_damage("/data/vault", "vault.db", 100));
	assert_int_equal(stage_start(&s), FAULT_DATABASE_DAMAGED);
	assert_true(*s.why);
	loop_free(&s.vault_loop);
	assert_true(world_disk_damage("/data/vault", "vault.db", 100));
	s.vault_loop = world_loop("vault");
	stage_end(&s);
}

static void what_a_full_disk_refuses_is_not_in_force(void **state)
{
	struct stage s;
	int number = 0;

	stage_begin(&s);
	stage_people(&s);
	world_disk_trouble("/data/vault", WORLD_DISK_FULL, -1);
	while (number < 200 && stage_call(&s, "org.add", "{'name':'more%d','title':'%0200d'}", number, 7) == FAULT_OK)
		number++; /* what the log's file has room for is taken yet */
	assert_int_equal(fault_row(s.fault)->class, FAULT_CLASS_INTERNAL);
	assert_int_equal(stage_call(&s, "org.show", "{'name':'more%d'}", number), FAULT_NOT_FOUND);
	world_disk_trouble("/data/vault", WORLD_DISK_FULL, 0);
	assert_int_equal(stage_call(&s, "org.add", "{'name':'more%d'}", number), FAULT_OK);
	stage_end(&s);
}

/* What was answered survives power loss, at every step of a busy day. */
static void what_was_answered_survives_power_loss(void **state)
{
	struct stage s;
	char name[32];

	stage_begin(&s);
	for (int round = 0; round < 12; round++) {
		snprintf(name, sizeof name, "org%d", round);
		assert_int_equal(stage_call(&s, "org.add", "{'name':'%s'}", name), FAULT_OK);
		stage_begin_call(&s, "org.add", "{'name':'%s-unheard'}", name);
		stage_pass(&s, round % 4);
		world_kill(s.vault_loop);
		vault_role.free(&s.vault);
		world_power_cut("/data", round % 2 ? WORLD_CUT_LOSE : WORLD_CUT_DICE);
		world_buried(&s.vault_loop);
		stage_close_links(&s);
		stage_pass(&s, 100);
		assert_int_equal(stage_start(&s), FAULT_OK);
		for (int i = 0; i <= round; i++)
			assert_int_equal(stage_call(&s, "org.show", "{'name':'org%d'}", i), FAULT_OK);
	}
	stage_end(&s);
}

static void a_drained_vault_says_so_and_takes_nothing_new(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_begin_call(&s, "org.add", "{'name':'last'}");
	stage_pass(&s, 1);
	vault_role.drain(s.vault);
	stage_await(&s, &s.is_drained);
	assert_true(s.is_answered);
	assert_int_equal(stage_call(&s, "org.add", "{'name':'late'}"), FAULT_SHUTTING_DOWN);
	stage_end(&s);
}

static void a_reload_with_another_key_is_refused(void **state)
{
	const struct role_file bad = { SPAN("key_encryption_key"), { "", 0 }, SPAN("another key, of thirty-two bytes") };
	const struct role_file good = { SPAN("key_encryption_key"), { "", 0 }, SPAN(STAGE_KEY) };
	struct role_start start = { .files = &bad, .file_count = 1 };
	struct stage s;

	stage_begin(&s);
	start.config = &s.config;
	assert_int_equal(vault_role.reload(s.vault, &start, s.why), FAULT_KEY_WRONG);
	assert_non_null(strstr(s.why, "key"));
	start.files = &good;
	assert_int_equal(vault_role.reload(s.vault, &start, s.why), FAULT_OK);
	stage_end(&s);
}

/* --- keys */

static void segment_keys_are_wrapped_and_unwrapped(void **state)
{
	char key[64], wrapped[256];
	size_t wrapped_size;
	struct stage s;

	stage_begin(&s);
	link_send(s.post, &MESSAGE_OF(segment_key_wanted, .request = 1));
	stage_await(&s, &s.has_segment);
	assert_int_equal(s.segment_fault, FAULT_OK);
	assert_int_equal(s.segment_key_size, 32);
	memcpy(key, s.segment_key, 32);
	memcpy(wrapped, s.segment_wrapped, wrapped_size = s.segment_wrapped_size);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	s.has_segment = false;
	link_send(s.post, &MESSAGE_OF(segment_unwrap, .request = 2, .wrapped = { wrapped, wrapped_size }));
	stage_await(&s, &s.has_segment);
	assert_int_equal(s.segment_fault, FAULT_OK);
	assert_memory_equal(s.segment_key, key, 32);
	s.has_segment = false;
	wrapped[20] = (char)(wrapped[20] ^ 1);
	link_send(s.post, &MESSAGE_OF(segment_unwrap, .request = 3, .wrapped = { wrapped, wrapped_size }));
	stage_await(&s, &s.has_segment);
	assert_int_equal(s.segment_fault, FAULT_KEY_WRONG);
	assert_int_equal(s.segment_key_size, 0);
	stage_end(&s);
}

static int64_t key_member(struct stage *s, size_t at, const char *name)
{
	const json_t *item = json_array_get(json_object_get(s->result, "items"), at);

	return json_integer_value(json_object_get(item, name));
}

static const char *key_state(struct stage *s, size_t at)
{
	return json_string_value(json_object_get(json_array_get(json_object_get(s->result, "items"), at), "state"));
}

/* T-VAULT 61: while tokens are asked for and renewed, nothing fails to open; the old key ends once nothing stands under it. */
static void t_vault_61_keys_rotate_under_use(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	for (int round = 0; round < 20; round++) {
		stage_begin_call(&s, "key.rotate", "{}");
		for (int i = 0; i < 5; i++) {
			assert_int_equal(stage_want_token(&s, 1, s.token.generation), FAULT_OK);
			stage_pass(&s, 61 * 1000 / 5);
		}
		assert_true(s.is_answered);
		assert_int_equal(s.fault, FAULT_OK);
	}
	stage_pass(&s, 60 * 1000);
	assert_int_equal(stage_call(&s, "key.list", "{}"), FAULT_OK);
	assert_int_equal(json_array_size(json_object_get(s.result, "items")), 21);
	for (size_t i = 0; i < 20; i++) {
		assert_string_equal(key_state(&s, i), "ended");
		assert_int_equal(key_member(&s, i, "sealed"), 0);
	}
	assert_string_equal(key_state(&s, 20), "current");
	assert_true(key_member(&s, 20, "sealed") >= 4);
	assert_true(s.rotations >= 20);
	stage_end(&s);
}

/* The vault dies in the middle of a rotation, at another moment each time: it goes on where it was, and all still opens. */
static void t_vault_61_a_rotation_goes_on_after_a_death(void **state)
{
	struct stage s;
	char address[64];

	stage_begin(&s);
	stage_people(&s);
	for (int i = 0; i < 150; i++) {
		snprintf(address, sizeof address, "user%d@example.com", i);
		assert_int_equal(stage_call(&s, "provider.add", "{'name':'p%d','org':'school','kind':'microsoft','client_id':'x','client_secret':'s%d'}", i, i),
				 FAULT_OK);
	}
	stage_linked(&s);
	for (int round = 0; round < 12; round++) {
		stage_begin_call(&s, "key.rotate", "{}");
		stage_pass(&s, round);
		if (round % 2)
			stage_kill(&s);
		else
			stage_stop(&s);
		assert_int_equal(stage_start(&s), FAULT_OK);
		assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
		assert_int_equal(stage_call(&s, "provider.show", "{'name':'p%d'}", round), FAULT_OK);
		assert_true(json_is_true(json_object_get(s.result, "client_secret")));
	}
	stage_pass(&s, 2 * 60 * 1000);
	assert_int_equal(stage_call(&s, "key.list", "{}"), FAULT_OK);
	for (size_t i = 0; i + 1 < json_array_size(json_object_get(s.result, "items")); i++)
		assert_string_equal(key_state(&s, i), "ended");
	assert_true(json_array_size(json_object_get(s.result, "items")) > 4);
	stage_end(&s);
}

/* The old key stays as long as post has segments under it. */
static void an_old_key_waits_for_the_spool(void **state)
{
	char wrapped[256];
	size_t size;
	struct stage s;

	stage_begin(&s);
	s.rewraps = false;
	link_send(s.post, &MESSAGE_OF(segment_key_wanted, .request = 1));
	stage_await(&s, &s.has_segment);
	memcpy(wrapped, s.segment_wrapped, size = s.segment_wrapped_size);
	assert_int_equal(stage_call(&s, "key.rotate", "{}"), FAULT_OK);
	stage_pass(&s, 5 * 60 * 1000);
	assert_int_equal(stage_call(&s, "key.list", "{}"), FAULT_OK);
	assert_string_equal(key_state(&s, 0), "retiring");
	s.has_segment = false;
	link_send(s.post, &MESSAGE_OF(segment_unwrap, .request = 2, .wrapped = { wrapped, size }));
	stage_await(&s, &s.has_segment);
	assert_int_equal(s.segment_fault, FAULT_OK);
	assert_memory_not_equal(s.segment_wrapped, wrapped, 8);
	link_send(s.post, &MESSAGE_OF(segment_rotated, .key_id = 2, .fault = FAULT_DISK_FULL));
	stage_pass(&s, 1000);
	assert_int_equal(stage_call(&s, "key.list", "{}"), FAULT_OK);
	assert_string_equal(key_state(&s, 0), "retiring");
	link_send(s.post, &MESSAGE_OF(segment_rotated, .key_id = 2));
	stage_pass(&s, 1000);
	assert_int_equal(stage_call(&s, "key.list", "{}"), FAULT_OK);
	assert_string_equal(key_state(&s, 0), "ended");
	s.has_segment = false;
	link_send(s.post, &MESSAGE_OF(segment_unwrap, .request = 3, .wrapped = { wrapped, size }));
	stage_await(&s, &s.has_segment);
	assert_int_equal(s.segment_fault, FAULT_KEY_WRONG);
	stage_end(&s);
}

/* --- post hears what it needs */

static void post_hears_of_every_mailbox_when_it_comes(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	assert_int_equal(stage_call(&s, "mailbox.add", "{'address':'bob@example.com','org':'school','provider':'m365'}"), FAULT_OK);
	stage_stop(&s);
	s.states = 0;
	assert_int_equal(stage_start(&s), FAULT_OK);
	stage_pass(&s, 1000);
	assert_int_equal(s.states, 2);
	stage_end(&s);
}

/* A copy of the database gives nothing away without the key. */
static void nothing_secret_is_readable_in_the_database(void **state)
{
	static const char *const secrets[] = { "access-1", "refresh-1", "s3cret" };
	struct stage s;
	size_t size;
	char *bytes;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	stage_stop(&s);
	bytes = world_disk_bytes("/data/vault", "vault.db", &size);
	assert_non_null(bytes);
	assert_true(span_find((struct span){ bytes, size }, SPAN("ann@example.com")) < size);
	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
		assert_int_equal(span_find((struct span){ bytes, size }, span_of(secrets[i])), size);
	free(bytes);
	assert_int_equal(stage_start(&s), FAULT_OK);
	stage_end(&s);
}

TESTS(settings_are_added_shown_changed_and_removed, what_is_wrong_is_refused_by_name, long_lists_come_in_pages, organisations_are_kept_apart, a_plain_server_needs_no_link,
      tokens_are_renewed_held_and_mended, a_disabled_mailbox_gets_no_token, another_provider_wants_another_sign_in, a_changed_key_is_noticed,
      a_damaged_database_is_noticed, what_a_full_disk_refuses_is_not_in_force, what_was_answered_survives_power_loss,
      a_drained_vault_says_so_and_takes_nothing_new, a_reload_with_another_key_is_refused, segment_keys_are_wrapped_and_unwrapped,
      t_vault_61_keys_rotate_under_use, t_vault_61_a_rotation_goes_on_after_a_death, an_old_key_waits_for_the_spool,
      post_hears_of_every_mailbox_when_it_comes, nothing_secret_is_readable_in_the_database)
