/* The vault on the real loop, threads, disk and HTTP: the main journey once, and what a real file system brings. */
#define STAGE_REAL
#include "tests/vault_stage.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(const struct stage *s, const char *name, char out[160])
{
	snprintf(out, 160, "%s/vault/%s", s->folder, name);
}

static void clean(struct stage *s)
{
	static const char *const names[] = { "vault.db", "vault.db-wal", "" };
	char folder[64], path[160];

	snprintf(folder, sizeof folder, "%s", s->folder);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		path_of(s, names[i], path);
		if (*names[i])
			unlink(path);
		else
			assert_int_equal(rmdir(path), 0);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void a_mailbox_is_linked_and_its_token_given(void **state)
{
	char password[64];
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-1");
	assert_int_equal(stage_want_token(&s, 1, s.token.generation), FAULT_OK);
	assert_string_equal(s.access_token, "access-2");
	assert_string_equal(s.idp.refresh_token, "refresh-1");
	assert_int_equal(stage_call(&s, "client.add", "{'name':'copier','org':'school','mailbox':['ann@example.com']}"), FAULT_OK);
	snprintf(password, sizeof password, "%s", stage_text(&s, "password"));
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(stage_login(&s, "copier", "hunter2"), FAULT_BAD_LOGIN);
	stage_stop(&s);
	assert_int_equal(stage_start(&s), FAULT_OK);
	assert_int_equal(stage_login(&s, "copier", password), FAULT_OK);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	assert_string_equal(s.access_token, "access-2");
	stage_end(&s);
	clean(&s);
}

static void keys_rotate_over_real_threads(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(stage_call(&s, "key.rotate", "{}"), FAULT_OK);
		assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	}
	for (size_t ended = 0; ended < 10;) {
		const json_t *items;

		assert_int_equal(stage_call(&s, "key.list", "{}"), FAULT_OK);
		items = json_object_get(s.result, "items");
		ended = 0;
		for (size_t i = 0; i < json_array_size(items); i++)
			ended += !strcmp(json_string_value(json_object_get(json_array_get(items, i), "state")), "ended");
	}
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	stage_end(&s);
	clean(&s);
}

/* Bad input: a provider that nobody can reach costs the one who asked an answer, and nothing else. */
static void token_endpoint_down(void **state)
{
	struct stage s;

	stage_begin(&s);
	stage_people(&s);
	stage_linked(&s);
	assert_int_equal(stage_want_token(&s, 1, 0), FAULT_OK);
	http_server_finish(&s.server);
	stage_pass(&s, 100);
	assert_int_equal(fault_row(stage_want_token(&s, 1, s.token.generation))->class, FAULT_CLASS_RETRY);
	assert_int_equal(stage_call(&s, "org.show", "{'name':'school'}"), FAULT_OK);
	stage_end(&s);
	clean(&s);
}

static void two_vaults_on_one_database(void **state)
{
	const struct role_file file = { SPAN("key_encryption_key"), { "", 0 }, SPAN(STAGE_KEY) };
	struct role_start start = { .files = &file, .file_count = 1, .mac_key = SPAN(STAGE_MAC), .ready = stage_ready, .drained = stage_drained };
	struct stage s;
	void *second = NULL;

	stage_begin(&s);
	start.config = &s.config;
	start.host = &s;
	assert_int_equal(vault_role.start(&second, s.outside, &start, s.why), FAULT_DATABASE_FAILED);
	assert_non_null(strstr(s.why, "locked"));
	assert_null(second);
	stage_end(&s);
	clean(&s);
}

static void a_database_that_is_none(void **state)
{
	char path[160];
	struct stage s;
	int fd;

	stage_begin(&s);
	stage_stop(&s);
	path_of(&s, "vault.db", path);
	fd = open(path, O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "what stood here before is gone, and this is no database of any kind whatsoever.....", 82), 82);
	close(fd);
	assert_int_equal(stage_start(&s), FAULT_DATABASE_DAMAGED);
	stage_end(&s);
	clean(&s);
}

TESTS(a_mailbox_is_linked_and_its_token_given, keys_rotate_over_real_threads, token_endpoint_down, two_vaults_on_one_database, a_database_that_is_none)
