/* T-VAULT 60: what is sealed opens in its own place, under its own key, unaltered; and nowhere else. */
#include "vault/keyring.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/secret.h"
#include "base/seal.h"
#include "store/database.h"
#include "tests/test.h"

#include <stdlib.h>
#include <unistd.h>

static const struct span first_file = SPAN("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
static const struct span second_file = SPAN("# newest first\nZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=\nMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n");
static const struct span third_file = SPAN("ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=\n");

struct bench {
	struct sqlite *db;
	struct keyring *keys;
	struct buf out, sealed;
	char path[64], why[256];
};

static void set_up(struct bench *b)
{
	*b = (struct bench){ 0 };
	buf_init(&b->out, 65536);
	buf_init(&b->sealed, 65536);
	strcpy(b->path, "/tmp/postern-keyring-XXXXXX");
	close(mkstemp(b->path));
	assert_int_equal(database_open(&b->db, b->path, NULL, b->why), FAULT_OK);
	assert_int_equal(keyring_open(&b->keys, first_file), FAULT_OK);
	assert_int_equal(keyring_load(b->keys, b->db, 1), FAULT_OK);
}

static void tear_down(struct bench *b)
{
	char name[300];

	keyring_close(&b->keys);
	sqlite_close(&b->db);
	unlink(b->path);
	snprintf(name, sizeof name, "%s-wal", b->path);
	unlink(name);
	buf_free(&b->out);
	buf_free(&b->sealed);
}

static enum fault reload(struct bench *b, struct span file)
{
	enum fault fault;

	keyring_close(&b->keys);
	fault = keyring_open(&b->keys, file);
	return fault == FAULT_OK ? keyring_load(b->keys, b->db, 2) : fault;
}

static struct secret_row sealed(struct bench *b, const char *subject, uint64_t row, const char *name)
{
	struct secret_row place = { .subject = span_of(subject), .row = row, .name = span_of(name) };

	buf_clear(&b->sealed);
	assert_true(keyring_seal(b->keys, &b->sealed, &place, SPAN("the refresh token")));
	return place;
}

static enum fault opens(struct bench *b, const struct secret_row *row)
{
	buf_clear(&b->out);
	return keyring_unseal(b->keys, &b->out, row);
}

static void t_vault_60_a_secret_opens_in_its_place_alone(void **state)
{
	struct bench b;
	struct secret_row row, moved;

	set_up(&b);
	row = sealed(&b, "mailbox", 7, "refresh_token");
	assert_int_equal(opens(&b, &row), FAULT_OK);
	assert_span(buf_span(&b.out), "the refresh token");
	moved = row;
	moved.row = 8;
	assert_int_equal(opens(&b, &moved), FAULT_KEY_WRONG);
	moved = row;
	moved.name = SPAN("access_token");
	assert_int_equal(opens(&b, &moved), FAULT_KEY_WRONG);
	moved = row;
	moved.subject = SPAN("provider");
	assert_int_equal(opens(&b, &moved), FAULT_KEY_WRONG);
	moved = row;
	moved.key++;
	assert_int_equal(opens(&b, &moved), FAULT_KEY_WRONG);
	assert_int_equal(b.out.size, 0);
	tear_down(&b);
}

static void t_vault_60_altered_and_cut_secrets_stay_shut(void **state)
{
	struct bench b;
	struct secret_row row;

	set_up(&b);
	row = sealed(&b, "mailbox", 7, "refresh_token");
	for (size_t i = 0; i < b.sealed.size * 8; i++) {
		b.sealed.at[i / 8] = (char)(b.sealed.at[i / 8] ^ 1 << i % 8);
		assert_int_equal(opens(&b, &row), FAULT_KEY_WRONG);
		b.sealed.at[i / 8] = (char)(b.sealed.at[i / 8] ^ 1 << i % 8);
	}
	for (size_t size = 0; size < b.sealed.size; size++) {
		row.sealed = span_slice(buf_span(&b.sealed), 0, size);
		assert_int_equal(opens(&b, &row), FAULT_KEY_WRONG);
	}
	row.sealed = buf_span(&b.sealed);
	assert_int_equal(opens(&b, &row), FAULT_OK);
	tear_down(&b);
}

/* A key ended opens nothing; with the key ring as it was (a backup), what it sealed opens. */
static void t_vault_60_an_ended_key_is_refused(void **state)
{
	struct bench b;
	struct secret_row row;
	struct secret *key = secret_random(SEAL_KEY_BYTES);

	set_up(&b);
	row = sealed(&b, "mailbox", 7, "refresh_token");
	keyring_add_take(b.keys, row.key + 1, key);
	assert_int_equal(opens(&b, &row), FAULT_OK);
	assert_int_equal(keyring_retiring(b.keys, 0), row.key);
	keyring_end(b.keys, row.key);
	assert_int_equal(opens(&b, &row), FAULT_KEY_WRONG);
	assert_int_equal(keyring_retiring(b.keys, 0), 0);
	assert_int_equal(keyring_current(b.keys), row.key + 1);
	assert_int_equal(reload(&b, first_file), FAULT_OK);
	assert_int_equal(opens(&b, &row), FAULT_OK);
	tear_down(&b);
}

static void t_vault_60_no_nonce_comes_twice(void **state)
{
	size_t times = getenv("PROVE") ? 10 * 1000 * 1000 : 200 * 1000;
	char *nonces = malloc(times * SEAL_NONCE_BYTES);
	struct bench b;
	struct map seen;

	assert_non_null(nonces);
	set_up(&b);
	map_init(&seen, false);
	for (size_t i = 0; i < times; i++) {
		char *nonce = nonces + i * SEAL_NONCE_BYTES;

		memcpy(nonce, sealed(&b, "m", 1, "t").sealed.at, SEAL_NONCE_BYTES);
		assert_null(map_put(&seen, (struct span){ nonce, SEAL_NONCE_BYTES }, nonce));
	}
	map_free(&seen);
	free(nonces);
	tear_down(&b);
}

static void a_new_root_key_takes_over(void **state)
{
	struct bench b;
	struct secret_row row;

	set_up(&b);
	row = sealed(&b, "mailbox", 7, "refresh_token");
	assert_int_equal(keyring_check(b.keys, third_file), FAULT_KEY_WRONG);
	assert_int_equal(keyring_check(b.keys, second_file), FAULT_OK);
	assert_int_equal(reload(&b, second_file), FAULT_OK);
	assert_int_equal(opens(&b, &row), FAULT_OK);
	assert_int_equal(reload(&b, third_file), FAULT_OK);
	assert_int_equal(opens(&b, &row), FAULT_OK);
	assert_int_equal(reload(&b, first_file), FAULT_KEY_WRONG);
	tear_down(&b);
}

static void a_bad_key_file_is_unreadable(void **state)
{
	static const char *const bad[] = { "", "\n", "# only a remark\n", "short", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk\n", "not base64 at all!\n" };
	struct keyring *keys;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		assert_int_equal(keyring_open(&keys, span_of(bad[i])), FAULT_KEY_UNREADABLE);
		assert_null(keys);
	}
	assert_int_equal(keyring_open(&keys, SPAN("0123456789abcdef0123456789abcdef")), FAULT_OK);
	keyring_close(&keys);
}

static void wrapped_keys_open_for_their_purpose_alone(void **state)
{
	struct bench b;
	struct buf wrapped;

	set_up(&b);
	buf_init(&wrapped, 256);
	assert_true(keyring_wrap(b.keys, &wrapped, SPAN("segment"), SPAN("0123456789abcdef0123456789abcdef")));
	assert_int_equal(keyring_unwrap(b.keys, &b.out, SPAN("segment"), buf_span(&wrapped)), FAULT_OK);
	assert_span(buf_span(&b.out), "0123456789abcdef0123456789abcdef");
	buf_clear(&b.out);
	assert_int_equal(keyring_unwrap(b.keys, &b.out, SPAN("other"), buf_span(&wrapped)), FAULT_KEY_WRONG);
	for (size_t size = 0; size < wrapped.size; size++)
		assert_int_equal(keyring_unwrap(b.keys, &b.out, SPAN("segment"), span_slice(buf_span(&wrapped), 0, size)), FAULT_KEY_WRONG);
	wrapped.at[0] = (char)(wrapped.at[0] ^ 1);
	assert_int_equal(keyring_unwrap(b.keys, &b.out, SPAN("segment"), buf_span(&wrapped)), FAULT_KEY_WRONG);
	buf_free(&wrapped);
	tear_down(&b);
}

TESTS(t_vault_60_a_secret_opens_in_its_place_alone, t_vault_60_altered_and_cut_secrets_stay_shut, t_vault_60_an_ended_key_is_refused,
      t_vault_60_no_nonce_comes_twice, a_new_root_key_takes_over, a_bad_key_file_is_unreadable, wrapped_keys_open_for_their_purpose_alone)
