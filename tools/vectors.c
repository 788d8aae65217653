/* Published test vectors (Wycheproof's JSON) through our own wrappers, so that a wrong length or a lax reading in our glue shows.
 *
 * usage: vectors FOLDER      a line for each file; exit 1 when a vector fails, or a file that a wrapper of ours should answer for is missing */
#include "base/buf.h"
#include "base/seal.h"
#include "base/signature.h"
#include "base/text.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { BYTES_MAX = 1024 * 1024 };

/* A member in hexadecimal, as bytes; empty where it is missing. */
static struct span bytes_of(const json_t *object, const char *name, struct buf *out)
{
	const char *text = json_string_value(json_object_get(object, name));

	buf_init(out, BYTES_MAX);
	if (!text || !text_from_hex(out, span_of(text)))
		buf_clear(out);
	return buf_span(out);
}

/* RSA numbers come with a leading zero byte. */
static struct span without_zeros(struct span number)
{
	while (number.size && !number.at[0])
		number = span_slice(number, 1, number.size);
	return number;
}

static bool opens_xchacha(const json_t *group, const json_t *test)
{
	struct buf key, aad, message, sealed, piece, opened;
	static const char *const parts[] = { "iv", "ct", "tag" };
	bool good = json_integer_value(json_object_get(group, "keySize")) == SEAL_KEY_BYTES * 8 &&
		    json_integer_value(json_object_get(group, "ivSize")) == SEAL_NONCE_BYTES * 8;

	bytes_of(test, "key", &key);
	bytes_of(test, "aad", &aad);
	bytes_of(test, "msg", &message);
	buf_init(&sealed, BYTES_MAX);
	buf_init(&opened, BYTES_MAX);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		buf_put(&sealed, bytes_of(test, parts[i], &piece));
		buf_free(&piece);
	}
	good = good && seal_open(&opened, buf_span(&key), buf_span(&aad), buf_span(&sealed)) && span_equal(buf_span(&opened), buf_span(&message));
	buf_free(&key);
	buf_free(&aad);
	buf_free(&message);
	buf_free(&sealed);
	buf_free(&opened);
	return good;
}

static bool agrees_hmac(const json_t *group, const json_t *test)
{
	unsigned char mac[SEAL_MAC_BYTES];
	struct buf key, message, tag;
	bool good;

	(void)group; /* shorter tags are beginnings of the whole one */
	seal_hmac(mac, bytes_of(test, "key", &key), bytes_of(test, "msg", &message));
	bytes_of(test, "tag", &tag);
	good = tag.size && tag.size <= sizeof mac && secret_equal(buf_span(&tag), (struct span){ (char *)mac, tag.size });
	buf_free(&key);
	buf_free(&message);
	buf_free(&tag);
	return good;
}

static bool verifies_rsa(enum signature_kind kind, const json_t *group, const json_t *test)
{
	const json_t *key = json_object_get(group, "publicKey");
	struct buf modulus, exponent, message, signature;
	bool good;

	bytes_of(key, "modulus", &modulus);
	bytes_of(key, "publicExponent", &exponent);
	bytes_of(test, "msg", &message);
	bytes_of(test, "sig", &signature);
	good = signature_rsa(kind, without_zeros(buf_span(&modulus)), without_zeros(buf_span(&exponent)), buf_span(&message), buf_span(&signature));
	buf_free(&modulus);
	buf_free(&exponent);
	buf_free(&message);
	buf_free(&signature);
	return good;
}

static bool verifies_pkcs(const json_t *group, const json_t *test)
{
	return verifies_rsa(SIGNATURE_RS256, group, test);
}

static bool verifies_pss(const json_t *group, const json_t *test)
{
	return verifies_rsa(SIGNATURE_PS256, group, test);
}

static bool verifies_p256(const json_t *group, const json_t *test)
{
	struct buf point, message, signature;
	bool good;

	bytes_of(json_object_get(group, "publicKey"), "uncompressed", &point);
	bytes_of(test, "msg", &message);
	bytes_of(test, "sig", &signature);
	good = point.size == 65 && signature_p256(span_slice(buf_span(&point), 1, 32), span_slice(buf_span(&point), 33, 32), buf_span(&message),
						  buf_span(&signature));
	buf_free(&point);
	buf_free(&message);
	buf_free(&signature);
	return good;
}

static const struct {
	const char *file;
	bool (*passes)(const json_t *group, const json_t *test);
} suites[] = {
	{ "xchacha20_poly1305_test.json", opens_xchacha },
	{ "hmac_sha256_test.json", agrees_hmac },
	{ "rsa_signature_2048_sha256_test.json", verifies_pkcs },
	{ "rsa_pss_2048_sha256_mgf1_32_test.json", verifies_pss },
	{ "ecdsa_secp256r1_sha256_p1363_test.json", verifies_p256 },
};

/* `acceptable` says that either answer is right; it is counted and not judged. */
static unsigned run_group(const char *file, const json_t *group, bool (*passes)(const json_t *, const json_t *), unsigned counts[3])
{
	unsigned failed = 0;
	size_t at;
	json_t *test;

	json_array_foreach(json_object_get(group, "tests"), at, test) {
		const char *result = json_string_value(json_object_get(test, "result"));
		bool good = passes(group, test), wanted = result && !strcmp(result, "valid");

		if (!result || !strcmp(result, "acceptable")) {
			counts[2]++;
			continue;
		}
		counts[wanted ? 0 : 1]++;
		if (good != wanted) {
			failed++;
			printf("%s: test %lld (%s) is %s and was %s\n", file, json_integer_value(json_object_get(test, "tcId")),
			       json_string_value(json_object_get(test, "comment")), result, good ? "taken" : "refused");
		}
	}
	return failed;
}

static unsigned run_suite(const char *folder, size_t which)
{
	unsigned counts[3] = { 0 }, failed = 0;
	char path[4096];
	json_error_t error;
	json_t *suite, *group;
	size_t at;

	snprintf(path, sizeof path, "%s/%s", folder, suites[which].file);
	suite = json_load_file(path, 0, &error);
	if (!suite) {
		printf("%s: %s\n", path, error.text);
		return 1;
	}
	json_array_foreach(json_object_get(suite, "testGroups"), at, group)
		failed += run_group(suites[which].file, group, suites[which].passes, counts);
	printf("%s: %u valid, %u invalid, %u of either kind, %u failed\n", suites[which].file, counts[0], counts[1], counts[2], failed);
	json_decref(suite);
	return failed + (counts[0] + counts[1] == 0);
}

int main(int count, char **words)
{
	unsigned failed = 0;

	if (count != 2) {
		fprintf(stderr, "usage: vectors FOLDER\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof suites / sizeof *suites; i++)
		failed += run_suite(words[1], i);
	return failed ? 1 : 0;
}
