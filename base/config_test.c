/* The boot file: defaults, every refusal with its line, and lists that are empty on purpose. */
#include "base/config.h"
#include "tests/test.h"

static enum fault reads(const char *text, struct config **c, char why[200])
{
	return config_read(c, "postern.conf", span_of(text), why, 200);
}

static void defaults(void **state)
{
	struct config *c;
	char why[200];

	assert_int_equal(reads("", &c, why), FAULT_OK);
	assert_int_equal(c->verdict_wait_ms, 5000);
	assert_span(c->data, "/var/lib/postern");
	assert_int_equal(c->listener_count, 0);
	config_free(&c);
	assert_null(c);
}

static void listeners(void **state)
{
	struct config *c;
	char why[200];

	assert_int_equal(reads("data = /srv/postern\nlistener a { port = 2525\n tls = none\n mechanisms = {} }\n"
			       "listener b { port = 2587 certificate = c key = k addresses = { 0.0.0.0 } proxy_from = { 10.0.0.0/8, 192.0.2.1 } }",
			       &c, why),
			 FAULT_OK);
	assert_int_equal(c->listener_count, 2);
	assert_int_equal(c->listeners[0].mechanisms.count, 0);
	assert_int_equal(c->listeners[0].addresses.count, 2);
	assert_int_equal(c->listeners[1].mechanisms.count, 2);
	assert_int_equal(c->listeners[1].port, 2587);
	assert_span(c->listeners[1].proxy_from.items[1], "192.0.2.1");
	config_free(&c);
}

static void refusals(void **state)
{
	static const char *const bad[][2] = {
		{ "colour = blue", "postern.conf:1: no such option 'colour'" },
		{ "\ngates = 0", "postern.conf:2: gates: a number from 1 to 64 is wanted" },
		{ "gates = many", "postern.conf:1: gates: a number from 1 to 64 is wanted" },
		{ "gates = -1", "postern.conf:1: gates: a number from 1 to 64 is wanted" },
		{ "log_level = loud", "postern.conf:0: log_level: debug, info, notice, warning or error is wanted" },
		{ "listener x { tls = starttls }", "postern.conf:0: listener certificate: TLS needs a certificate and its key" },
		{ "listener x { tls = none } listener y { tls = none clear_login = perhaps }", "postern.conf:1: clear_login: yes or no is wanted" },
		{ "listener x { tls = none mechanisms = { cram } }", "postern.conf:0: listener mechanisms: plain, login, xoauth2, oauthbearer are known" },
		{ "listener x { tls = none } listener z { tls = none protocol = nntp }", "postern.conf:0: listener protocol: smtp or http is wanted" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct config *c;
		char why[200];

		assert_int_equal(reads(bad[i][0], &c, why), FAULT_MALFORMED);
		assert_null(c);
		assert_string_equal(why, bad[i][1]);
	}
}

TESTS(defaults, listeners, refusals)
