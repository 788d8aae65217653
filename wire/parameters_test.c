/* The ESMTP parameters: what is read, and what must not get through to a report or a provider. */
#include "wire/parameters.h"

#include "tests/test.h"

static void mail_defaults(void **state)
{
	struct parameters_mail p;

	assert_int_equal(parameters_mail(&p, SPAN("")), FAULT_OK);
	assert_int_equal(p.size_bytes, 0);
	assert_int_equal(p.body, PARAMETERS_7BIT);
	assert_int_equal(p.returns, PARAMETERS_RETURN_UNSAID);
	assert_false(p.utf8);
	assert_span(p.envelope_id, "");
}

static void mail_all(void **state)
{
	struct parameters_mail p;

	assert_int_equal(
		parameters_mail(&p,
				SPAN("size=1000 Body=8bitmime SMTPUTF8  RET=HDRS ENVID=QQ+2B314159 AUTH=a+3Db@c.d ")),
		FAULT_OK);
	assert_int_equal(p.size_bytes, 1000);
	assert_int_equal(p.body, PARAMETERS_8BITMIME);
	assert_true(p.utf8);
	assert_int_equal(p.returns, PARAMETERS_RETURN_HEADERS);
	assert_span(p.envelope_id, "QQ+2B314159");
	assert_int_equal(parameters_mail(&p, SPAN("RET=FULL BODY=BINARYMIME AUTH=<>")), FAULT_OK);
	assert_int_equal(p.returns, PARAMETERS_RETURN_FULL);
	assert_int_equal(p.body, PARAMETERS_BINARYMIME);
}

static void recipient_all(void **state)
{
	struct parameters_recipient p;

	assert_int_equal(parameters_recipient(&p, SPAN("NOTIFY=success,FAILURE ORCPT=rfc822;Bob+40x@y.z")), FAULT_OK);
	assert_int_equal(p.notify, PARAMETERS_NOTIFY_SUCCESS | PARAMETERS_NOTIFY_FAILURE);
	assert_span(p.original, "rfc822;Bob+40x@y.z");
	assert_int_equal(parameters_recipient(&p, SPAN("NOTIFY=NEVER")), FAULT_OK);
	assert_int_equal(p.notify, PARAMETERS_NOTIFY_NEVER);
	assert_int_equal(parameters_recipient(&p, SPAN("ORCPT=utf-8;\\x{E9}@y.z")), FAULT_OK);
}

static void mail_refusals(void **state)
{
	static const struct {
		const char *text;
		enum fault fault;
	} cases[] = {
		{ "SIZE=", FAULT_BAD_ARGUMENT },
		{ "SIZE", FAULT_BAD_ARGUMENT },
		{ "SIZE=-1", FAULT_BAD_ARGUMENT },
		{ "SIZE=18446744073709551616", FAULT_BAD_ARGUMENT },
		{ "SIZE=1 SIZE=2", FAULT_BAD_ARGUMENT },
		{ "BODY=9BIT", FAULT_BAD_ARGUMENT },
		{ "SMTPUTF8=1", FAULT_BAD_ARGUMENT },
		{ "RET=ALL", FAULT_BAD_ARGUMENT },
		{ "AUTH=", FAULT_BAD_ARGUMENT },
		{ "AUTH=nobody", FAULT_BAD_ARGUMENT },
		{ "AUTH=a@b+0D+0Ac", FAULT_BAD_ARGUMENT },
		{ "NOTIFY=NEVER", FAULT_BAD_PARAMETER },
		{ "HOLDFOR=60", FAULT_BAD_PARAMETER },
		{ "XYZZY", FAULT_BAD_PARAMETER },
		{ "=", FAULT_BAD_PARAMETER },
	};
	struct parameters_mail p;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(parameters_mail(&p, span_of(cases[i].text)), cases[i].fault);
}

static void t_smuggle_15_xtext_injection(void **state)
{
	static const char *const for_mail[] = {
		"ENVID=a+0D+0ARCPT", "ENVID=a+00", "ENVID=+0",   "ENVID=+",    "ENVID=a+7F", "ENVID=a+zz",
		"ENVID=a+0d",        "ENVID=",     "ENVID=a\tb", "ENVID=a+E9", "ENVID=a=b",  "ENVID=a\r\nb",
	};
	static const char *const for_recipient[] = {
		"ORCPT=rfc822;a+0D+0Ab", "ORCPT=rfc822;a+00", "ORCPT=rfc822;", "ORCPT=;a",
		"ORCPT=rfc822",          "ORCPT=rf\rc;a",     "ORCPT=r;a+1B",  "NOTIFY=",
		"NOTIFY=NEVER,SUCCESS",  "NOTIFY=SUCCESS,",   "NOTIFY=SOON",   "NOTIFY=DELAY NOTIFY=DELAY",
	};
	struct parameters_mail m;
	struct parameters_recipient r;

	for (size_t i = 0; i < sizeof for_mail / sizeof *for_mail; i++)
		assert_int_equal(parameters_mail(&m, span_of(for_mail[i])), FAULT_BAD_ARGUMENT);
	for (size_t i = 0; i < sizeof for_recipient / sizeof *for_recipient; i++)
		assert_int_equal(parameters_recipient(&r, span_of(for_recipient[i])), FAULT_BAD_ARGUMENT);
}

static void lengths(void **state)
{
	char text[700] = "ENVID=";
	struct parameters_mail m;
	struct parameters_recipient r;

	memset(text + 6, 'x', 100);
	assert_int_equal(parameters_mail(&m, span_of(text)), FAULT_OK);
	text[106] = 'x';
	assert_int_equal(parameters_mail(&m, span_of(text)), FAULT_BAD_ARGUMENT);
	memcpy(text, "ORCPT=rfc822;", 13);
	memset(text + 13, 'x', 493);
	assert_int_equal(parameters_recipient(&r, span_of(text)), FAULT_OK);
	text[506] = 'x';
	assert_int_equal(parameters_recipient(&r, span_of(text)), FAULT_BAD_ARGUMENT);
}

static void xtext(void **state)
{
	struct buf coded, text;

	buf_init(&coded, 100);
	buf_init(&text, 100);
	assert_true(parameters_xtext(&coded, SPAN("a+b=c d\xff")));
	assert_span(buf_span(&coded), "a+2Bb+3Dc+20d+FF");
	assert_true(parameters_from_xtext(&text, buf_span(&coded)));
	assert_span(buf_span(&text), "a+b=c d\xff");
	buf_free(&coded);
	buf_free(&text);
}

TESTS(mail_defaults, mail_all, recipient_all, mail_refusals, t_smuggle_15_xtext_injection, lengths, xtext)
