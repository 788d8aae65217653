/* Published samples both ways, and what the server's half must refuse. */
#include "wire/sasl.h"

#include "base/text.h"
#include "tests/test.h"

static const char google_sample[] = "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbG"
				    "NrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==";
static const char google_token[] = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
static const char rfc7628_sample[] =
	"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk52"
	"YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB";
static const char rfc7628_token[] = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";

struct exchange {
	struct sasl_server server;
	struct sasl_login login;
	char line[SASL_LINE_BYTES + 8];
};

/* Takes a response that already is base64. */
static enum fault take(struct exchange *x, struct span text)
{
	assert_true(text.size <= sizeof x->line);
	memcpy(x->line, text.at, text.size);
	return sasl_server_take(&x->server, x->line, text.size, &x->login);
}

static enum fault read_text(struct exchange *x, enum sasl_mechanism m, const char *base64)
{
	sasl_server_init(&x->server, m);
	return take(x, span_of(base64));
}

/* Takes a response given in the clear. */
static enum fault read_raw(struct exchange *x, enum sasl_mechanism m, struct span raw)
{
	struct buf b;
	enum fault f;

	buf_init(&b, SASL_LINE_BYTES);
	assert_true(text_base64(&b, raw));
	sasl_server_init(&x->server, m);
	f = take(x, buf_span(&b));
	buf_free(&b);
	return f;
}

static void writes(enum sasl_mechanism m, unsigned step, struct sasl_credentials c, const char *wanted)
{
	struct buf b;

	buf_init(&b, SASL_LINE_BYTES);
	assert_int_equal(sasl_client_put(&b, m, step, &c), FAULT_OK);
	assert_span(buf_span(&b), wanted);
	buf_free(&b);
}

static void t_sasl_20_xoauth2_sample(void **state)
{
	struct exchange x;

	writes(SASL_XOAUTH2, 0, (struct sasl_credentials){ SPAN("someuser@example.com"), span_of(google_token) },
	       google_sample);
	assert_int_equal(read_text(&x, SASL_XOAUTH2, google_sample), FAULT_OK);
	assert_span(x.login.user, "someuser@example.com");
	assert_span(x.login.secret, google_token);
}

static void t_sasl_21_oauthbearer_sample(void **state)
{
	struct exchange x;

	writes(SASL_OAUTHBEARER, 0,
	       (struct sasl_credentials){ SPAN("user@example.com"), span_of(rfc7628_token), SPAN("server.example.com"),
					  143 },
	       rfc7628_sample);
	assert_int_equal(read_text(&x, SASL_OAUTHBEARER, rfc7628_sample), FAULT_OK);
	assert_span(x.login.user, "user@example.com");
	assert_span(x.login.secret, rfc7628_token);
}

/* RFC 4616 4, and the clients that give the same name twice or leave the padding away */
static void plain(void **state)
{
	struct exchange x;

	assert_int_equal(read_raw(&x, SASL_PLAIN, SPAN("\0tim\0tanstaaftanstaaf")), FAULT_OK);
	assert_span(x.login.user, "tim");
	assert_span(x.login.secret, "tanstaaftanstaaf");
	assert_int_equal(read_raw(&x, SASL_PLAIN, SPAN("Tim\0tim\0pw")), FAULT_OK);
	assert_span(x.login.user, "tim");
	assert_int_equal(read_text(&x, SASL_PLAIN, "AHRpbQBwdw"), FAULT_OK);
	assert_span(x.login.secret, "pw");
	assert_int_equal(read_raw(&x, SASL_PLAIN, SPAN("Ursel\0Kurt\0xipj3plmq")), FAULT_BAD_LOGIN);
	writes(SASL_PLAIN, 0, (struct sasl_credentials){ SPAN("tim"), SPAN("tanstaaftanstaaf") },
	       "AHRpbQB0YW5zdGFhZnRhbnN0YWFm");
}

static void login(void **state)
{
	struct exchange x;

	sasl_server_init(&x.server, SASL_LOGIN);
	assert_span(sasl_server_challenge(&x.server), "VXNlcm5hbWU6");
	assert_int_equal(take(&x, SPAN("dGlt")), FAULT_OK);
	assert_int_equal(x.login.secret.size, 0);
	assert_span(sasl_server_challenge(&x.server), "UGFzc3dvcmQ6");
	assert_int_equal(take(&x, SPAN("cHc=")), FAULT_OK);
	assert_span(x.login.user, "tim");
	assert_span(x.login.secret, "pw");
	sasl_server_wipe(&x.server);
	assert_memory_equal(x.server.user, "\0\0\0", 3);
	writes(SASL_LOGIN, 0, (struct sasl_credentials){ SPAN("tim"), SPAN("pw") }, "dGlt");
	writes(SASL_LOGIN, 1, (struct sasl_credentials){ SPAN("tim"), SPAN("pw") }, "cHc=");
}

/* What is not base64 at all, for every mechanism. */
static void t_sasl_23_malformed_base64(void **state)
{
	static const char *const texts[] = {
		"",     "=",        "dXNl\ncj0=", "dXNl cj0=", "A", "AHRpbQBwdw=", "AHRpbQBwdw==x", "AHRpbQBwd_==",
		"====", "\x01\x02",
	};
	struct exchange x;

	for (unsigned m = 0; m < SASL_MECHANISM_COUNT; m++) {
		for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
			assert_int_equal(read_text(&x, m, texts[i]), FAULT_AUTH_MALFORMED);
		assert_int_equal(read_text(&x, m, "*"), FAULT_AUTH_CANCELLED);
		assert_null(x.login.secret.at);
	}
}

static void t_sasl_23_malformed_text(void **state)
{
	static const struct {
		enum sasl_mechanism mechanism;
		struct span raw;
	} cases[] = {
		{ SASL_PLAIN, SPAN("tim") },
		{ SASL_PLAIN, SPAN("\0tim") },
		{ SASL_PLAIN, SPAN("\0\0pw") },
		{ SASL_PLAIN, SPAN("\0tim\0") },
		{ SASL_PLAIN, SPAN("\0tim\0pw\0more") },
		{ SASL_PLAIN, SPAN("\0ti\rm\0pw") },
		{ SASL_PLAIN, SPAN("\0ti\nm\0pw") },
		{ SASL_PLAIN, SPAN("x\x1b\0tim\0pw") },
		{ SASL_PLAIN, SPAN("\0t\xffim\0pw") },
		{ SASL_LOGIN, SPAN("ti\0m") },
		{ SASL_LOGIN, SPAN("tim\r\nRSET") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer tok\1") }, /* ^A missing */
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer tok") },
		{ SASL_XOAUTH2, SPAN("user=a@bauth=Bearer tok\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer tok\1\1\1") }, /* ^A too many */
		{ SASL_XOAUTH2, SPAN("user=a@b\1\1auth=Bearer tok\1\1") },
		{ SASL_XOAUTH2, SPAN("\1user=a@b\1auth=Bearer tok\1\1") },
		{ SASL_XOAUTH2, SPAN("user=\1auth=Bearer tok\1\1") }, /* nobody */
		{ SASL_XOAUTH2, SPAN("auth=Bearer tok\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer\ttok\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearertok\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer \1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Basic tok\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer t\xc3\xa9k\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1user=c@d\1auth=Bearer tok\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer tok\1auth=Bearer kot\1\1") },
		{ SASL_XOAUTH2, SPAN("user=a@b\1auth=Bearer tok\1\1trailing") },
		{ SASL_XOAUTH2, SPAN("user=a\r\nb\1auth=Bearer tok\1\1") },
		{ SASL_OAUTHBEARER, SPAN("n,a=u,\1auth=Bearer tok\1") },
		{ SASL_OAUTHBEARER, SPAN("n,a=u,auth=Bearer tok\1\1") },
		{ SASL_OAUTHBEARER, SPAN("n,u,\1auth=Bearer tok\1\1") },
		{ SASL_OAUTHBEARER, SPAN("n,a=,\1auth=Bearer tok\1\1") },
		{ SASL_OAUTHBEARER, SPAN("n,a=u=2Fx,\1auth=Bearer tok\1\1") },
		{ SASL_OAUTHBEARER, SPAN("n,a=u=2,\1auth=Bearer tok\1\1") },
		{ SASL_OAUTHBEARER, SPAN("p=tls-unique,a=u,\1auth=Bearer tok\1\1") },
		{ SASL_OAUTHBEARER, SPAN("n,a=u,\1host=x\1\1") },
		{ SASL_OAUTHBEARER, SPAN("\1") },
	};
	struct exchange x;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum fault f = read_raw(&x, cases[i].mechanism, cases[i].raw);

		if (f != FAULT_AUTH_MALFORMED || x.login.secret.at)
			fail_msg("case %zu was read", i);
	}
}

static void bearer_spellings(void **state)
{
	struct exchange x;

	assert_int_equal(read_raw(&x, SASL_XOAUTH2, SPAN("user=a@b\1auth=bearer tok\1\1")), FAULT_OK);
	assert_span(x.login.secret, "tok");
	assert_int_equal(read_raw(&x, SASL_XOAUTH2, SPAN("auth=BEARER  tok\1user=a@b\1\1")), FAULT_OK);
	assert_span(x.login.user, "a@b");
	assert_int_equal(read_raw(&x, SASL_OAUTHBEARER, SPAN("y,a=x=2Cy=3Dz,\1qs=\1auth=Bearer tok\1\1")), FAULT_OK);
	assert_span(x.login.user, "x,y=z");
	assert_int_equal(read_raw(&x, SASL_OAUTHBEARER, SPAN("n,,\1auth=Bearer tok\1\1")), FAULT_OK);
	assert_int_equal(x.login.user.size, 0);
	assert_span(sasl_server_refusal(SASL_OAUTHBEARER), "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=");
}

static void t_sasl_23_longest_line(void **state)
{
	static struct exchange x;
	struct buf raw, line;

	buf_init(&raw, 10000);
	buf_init(&line, 20000);
	buf_put(&raw, SPAN("\0tim\0"));
	while (raw.size < SASL_LINE_BYTES / 4 * 3)
		buf_put_byte(&raw, 'x');
	assert_true(text_base64(&line, buf_span(&raw)));
	assert_int_equal(line.size, SASL_LINE_BYTES);
	sasl_server_init(&x.server, SASL_PLAIN);
	assert_int_equal(take(&x, buf_span(&line)), FAULT_OK);
	assert_int_equal(x.login.secret.size, raw.size - 5);
	buf_put_byte(&line, 'A');
	assert_int_equal(take(&x, buf_span(&line)), FAULT_AUTH_MALFORMED);
	buf_free(&raw);
	buf_free(&line);
}

/* What would break out of the mechanism's frame is never written. */
static void client_refuses(void **state)
{
	static const struct {
		enum sasl_mechanism mechanism;
		struct sasl_credentials who;
	} cases[] = {
		{ SASL_XOAUTH2, { SPAN("a@b\1auth=Bearer x"), SPAN("tok") } },
		{ SASL_XOAUTH2, { SPAN("a@b"), SPAN("tok\1") } },
		{ SASL_XOAUTH2, { SPAN("a@b"), SPAN("to k") } },
		{ SASL_XOAUTH2, { SPAN("a@b"), SPAN("") } },
		{ SASL_XOAUTH2, { SPAN(""), SPAN("tok") } },
		{ SASL_OAUTHBEARER, { SPAN("a@b"), SPAN("tok"), SPAN("ho\1st"), 1 } },
		{ SASL_PLAIN, { SPAN("a\0b"), SPAN("pw") } },
		{ SASL_PLAIN, { SPAN("a"), SPAN("p\0w") } },
		{ SASL_LOGIN, { SPAN("a\r\n"), SPAN("pw") } },
	};
	struct sasl_credentials good = { SPAN("a,b=c"), SPAN("tok") };
	struct exchange x;
	struct buf b;

	buf_init(&b, 64);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(sasl_client_put(&b, cases[i].mechanism, 0, &cases[i].who), FAULT_MALFORMED);
	assert_int_equal(b.size, 0);
	assert_int_equal(sasl_client_put(&b, SASL_OAUTHBEARER, 1, &good), FAULT_MALFORMED);
	assert_int_equal(sasl_client_put(&b, SASL_OAUTHBEARER, 0, &good), FAULT_OK);
	sasl_server_init(&x.server, SASL_OAUTHBEARER);
	assert_int_equal(take(&x, buf_span(&b)), FAULT_OK);
	assert_span(x.login.user, "a,b=c");
	assert_int_equal(sasl_client_put(&b, SASL_OAUTHBEARER, 0, &good), FAULT_TOO_LARGE);
	buf_free(&b);
}

static void names(void **state)
{
	for (unsigned m = 0; m < SASL_MECHANISM_COUNT; m++)
		assert_int_equal(sasl_named(sasl_name(m)), m);
	assert_int_equal(sasl_named(SPAN("xoauth2")), SASL_XOAUTH2);
	assert_int_equal(sasl_named(SPAN("CRAM-MD5")), SASL_MECHANISM_COUNT);
	assert_int_equal(sasl_named(SPAN("")), SASL_MECHANISM_COUNT);
}

TESTS(t_sasl_20_xoauth2_sample, t_sasl_21_oauthbearer_sample, plain, login, t_sasl_23_malformed_base64,
      t_sasl_23_malformed_text, bearer_spellings, t_sasl_23_longest_line, client_refuses, names)
