/* T-OTP 29: the SHA-1 vectors of RFC 6238 appendix B and RFC 4226 appendix D, the window and single use. */
#include "twin/authenticator.h"

#include "tests/test.h"

static const struct span rfc_key = { "12345678901234567890", 20 };
static const char rfc_base32[] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

static void t_otp_29_rfc6238(void **state)
{
	static const struct {
		uint64_t seconds;
		uint32_t code;
	} vectors[] = { { 59, 94287082 },	  { 1111111109, 7081804 },   { 1111111111, 14050471 },
			{ 1234567890, 89005924 }, { 2000000000, 69279037 }, { 20000000000, 65353130 } };

	for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
		assert_int_equal(authenticator_code(rfc_key, vectors[i].seconds / 30, 8), vectors[i].code);
}

static void rfc4226(void **state)
{
	static const uint32_t codes[] = { 755224, 287082, 359152, 969429, 338314, 254676, 287922, 162583, 399871, 520489 };

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		assert_int_equal(authenticator_code(rfc_key, i, 6), codes[i]);
}

static void base32(void **state)
{
	char memory[64];
	struct buf b;

	buf_over(&b, memory, sizeof memory);
	assert_true(authenticator_key(&b, span_of(rfc_base32)));
	assert_true(span_equal(buf_span(&b), rfc_key));
	buf_clear(&b);
	assert_true(authenticator_key(&b, SPAN("gezd gnbv gy3t qojq gezd gnbv gy3t qojq")));
	assert_true(span_equal(buf_span(&b), rfc_key));
	buf_clear(&b);
	assert_false(authenticator_key(&b, SPAN("GEZD1NBV")));
	assert_false(authenticator_key(&b, SPAN("")));
}

static void window_and_single_use(void **state)
{
	struct span secret = span_of(rfc_base32);
	uint64_t last = 0;
	char code[7];

	assert_true(authenticator_show(secret, 59000, code));
	assert_string_equal(code, "287082");
	assert_false(authenticator_check(secret, 59000, SPAN("287083"), &last));
	assert_false(authenticator_check(secret, 59000, SPAN("28708"), &last));
	assert_false(authenticator_check(secret, 59000, SPAN("2870821"), &last));
	assert_true(authenticator_check(secret, 59000, SPAN("287 082"), &last));
	assert_int_equal(last, 1);
	assert_false(authenticator_check(secret, 59000, SPAN("287082"), &last)); /* used up */
	assert_true(authenticator_check(secret, 59000, SPAN("359152"), &last));  /* one step ahead */
	last = 0;
	assert_true(authenticator_check(secret, 89000, SPAN("287082"), &last)); /* one step late */
	last = 0;
	assert_false(authenticator_check(secret, 120000, SPAN("287082"), &last)); /* three steps late */
}

TESTS(t_otp_29_rfc6238, rfc4226, base32, window_and_single_use)
