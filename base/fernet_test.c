/* Tokens of the Fernet recipe: the vector of its specification, a password stretched as others do, and every byte altered. */
#include "base/fernet.h"

#include "tests/test.h"

#define TOKEN "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="

/* "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=" of the specification. */
static const unsigned char key[FERNET_KEY_BYTES] = { 0x73, 0x0f, 0xf4, 0xc7, 0xaf, 0x3d, 0x46, 0x92, 0x3e, 0x8e, 0xd4, 0x51, 0xee, 0x81, 0x3c, 0x87,
						     0xf7, 0x90, 0xb0, 0xa2, 0x26, 0xbc, 0x96, 0xa9, 0x2d, 0xe4, 0x9b, 0x5e, 0x9c, 0x05, 0xe1, 0xee };

static bool opens(struct buf *out, struct span token)
{
	buf_clear(out);
	return fernet_open(out, key, token);
}

static void the_vector_of_the_specification(void **state)
{
	struct buf out;

	buf_init(&out, 100);
	assert_true(opens(&out, SPAN(TOKEN)));
	assert_span(buf_span(&out), "hello");
	assert_true(opens(&out, span_slice(SPAN(TOKEN), 0, sizeof TOKEN - 3)));
	assert_span(buf_span(&out), "hello");
	buf_free(&out);
}

static void nothing_that_was_altered(void **state)
{
	char token[] = TOKEN;
	struct buf out;

	buf_init(&out, 100);
	for (size_t i = 0; i < sizeof token - 5; i++) {
		token[i] = token[i] == 'A' ? 'B' : 'A';
		assert_false(opens(&out, span_of(token)));
		assert_int_equal(out.size, 0);
		token[i] = TOKEN[i];
	}
	for (size_t size = 0; size < sizeof token - 3; size++)
		assert_false(opens(&out, span_slice(span_of(token), 0, size)));
	buf_free(&out);
}

static void a_full_buffer(void **state)
{
	char memory[8];
	struct buf out;

	buf_over(&out, memory, sizeof memory);
	assert_false(fernet_open(&out, key, SPAN(TOKEN)));
}

static void stretched_passwords(void **state)
{
	/* PBKDF2 with HMAC-SHA-256 of "password" and "salt", 4,096 rounds (RFC 7914 has none of 32 bytes; this is the common one). */
	static const unsigned char wanted[FERNET_KEY_BYTES] = { 0xc5, 0xe4, 0x78, 0xd5, 0x92, 0x88, 0xc8, 0x41, 0xaa, 0x53, 0x0d,
								0xb6, 0x84, 0x5c, 0x4c, 0x8d, 0x96, 0x28, 0x93, 0xa0, 0x01, 0xce,
								0x4e, 0x11, 0xa4, 0x96, 0x38, 0x73, 0xaa, 0x98, 0x13, 0x4a };
	unsigned char got[FERNET_KEY_BYTES];

	assert_true(fernet_stretch(got, SPAN("password"), SPAN("salt"), 4096));
	assert_memory_equal(got, wanted, sizeof got);
	assert_false(fernet_stretch(got, SPAN("password"), SPAN("salt"), 0));
	assert_false(fernet_stretch(got, SPAN("password"), SPAN("salt"), FERNET_ROUNDS_MAX + 1));
}

TESTS(the_vector_of_the_specification, nothing_that_was_altered, a_full_buffer, stretched_passwords)
