/* Texts copied from what providers were seen to say, and forms that the rows never saw, against what they mean. */
#include "wire/recognise.h"

#include "base/text.h"
#include "tests/test.h"

#include <jansson.h>
#include <stdlib.h>

enum { FILE_BYTES = 1 << 20, LINE_BYTES = 8192 };

struct corpus {
	char bytes[FILE_BYTES];
	size_t size;
};

static struct corpus corpus;
static bool reached[FAULT_COUNT];
static unsigned wrong;

static struct span load(const char *name)
{
	char path[1024];
	FILE *f;

	snprintf(path, sizeof path, "%s/tests/corpus/%s", TEST_SOURCE_ROOT, name);
	f = fopen(path, "rb");
	assert_non_null(f);
	corpus.size = fread(corpus.bytes, 1, sizeof corpus.bytes, f);
	assert_true(feof(f));
	fclose(f);
	return (struct span){ corpus.bytes, corpus.size };
}

/* `\n`, `\r`, `\t` and `\\` of the corpus files. */
static struct span unescape(struct span line, char *out)
{
	static const char from[] = "nrt\\", to[] = "\n\r\t\\";
	size_t size = 0;

	for (size_t i = 0; i < line.size; i++) {
		const char *at = line.at[i] == '\\' && i + 1 < line.size ? strchr(from, line.at[i + 1]) : NULL;

		assert_true(size < LINE_BYTES);
		out[size++] = at ? to[at - from] : line.at[i];
		i += at != NULL;
	}
	return (struct span){ out, size };
}

static void expect(enum fault got, enum fault wanted, const char *how, struct span text)
{
	if (got == wanted)
		return;
	print_error("%s: wanted %s, got %s\n  %.*s\n", how, fault_row(wanted)->name, fault_row(got)->name,
		    SPAN_ARGS(text));
	wrong++;
}

static bool is_code(struct span s)
{
	return s.size > 3 && s.at[0] >= '4' && s.at[0] <= '5' && strspn(s.at, "0123456789") == 3 &&
	       (s.at[3] == ' ' || s.at[3] == '-');
}

/* The same as a session would hand it over: without the code, and with the enhanced code apart or still in the text. */
static void expect_as_reply(struct span text, enum fault wanted)
{
	struct span after = span_slice(text, 4, text.size), rest = after, enhanced;
	int code;

	code = is_code(text) ? atoi(text.at) : 0;
	if (code < 430 && code != 421) /* no code, or a status of HTTP */
		return;
	expect(recognise_reply(code, SPAN(""), after), wanted, "as a reply", text);
	if (span_cut(&rest, ' ', &enhanced) && enhanced.size >= 5 && enhanced.at[1] == '.' && rest.at)
		expect(recognise_reply(code, enhanced, rest), wanted, "as a reply with its enhanced code", text);
}

static struct span member(const json_t *object, const char *name)
{
	const char *value = json_string_value(json_object_get(object, name));

	return span_of(value ? value : "");
}

static void expect_as_token_error(struct span text, enum fault wanted)
{
	json_t *json = json_loadb(text.at, text.size, 0, NULL);

	if (json && json_is_string(json_object_get(json, "error")) && !json_object_get(json, "error_codes"))
		expect(recognise_token_error(member(json, "error"), member(json, "suberror"),
					     member(json, "error_description")),
		       wanted, "as an error of a token endpoint", text);
	json_decref(json);
}

static unsigned check_corpus(const char *name)
{
	struct span file = load(name), line, fault_name;
	char bytes[LINE_BYTES + 1];
	unsigned count = 0;

	wrong = 0;
	while (span_cut(&file, '\n', &line)) {
		struct span text = line;
		enum fault wanted;

		if (!line.size || line.at[0] == '#')
			continue;
		assert_true(span_cut(&text, '\t', &fault_name));
		wanted = fault_named(fault_name);
		if (wanted == FAULT_COUNT)
			fail_msg("no fault %.*s", SPAN_ARGS(fault_name));
		text = unescape(text, bytes);
		bytes[text.size] = 0;
		expect(recognise_text(text), wanted, "pasted", text);
		expect_as_reply(text, wanted);
		expect_as_token_error(text, wanted);
		reached[wanted] = true;
		count++;
	}
	assert_int_equal(wrong, 0);
	return count;
}

static void texts_of_providers(void **state)
{
	assert_true(check_corpus("replies.txt") >= 250);
}

static void variants(void **state)
{
	assert_true(check_corpus("replies_variants.txt") >= 50);
}

static const enum fault provider_faults[] = {
#define FAULT(name, ...) FAULT_##name,
#include "tables/faults_google.def"
#include "tables/faults_microsoft.def"
#include "tables/faults_oauth.def"
#undef FAULT
};

enum { PROVIDER_FAULTS = sizeof provider_faults / sizeof *provider_faults };

static void every_row_is_reached(void **state)
{
	memset(reached, 0, sizeof reached);
	(void)check_corpus("replies.txt");
	for (unsigned i = 0; i < PROVIDER_FAULTS; i++)
		if (!reached[provider_faults[i]])
			fail_msg("no text of the corpus means %s", fault_row(provider_faults[i])->name);
}

static void check_sentence(const struct fault_row *row, const char *text, size_t size_max)
{
	struct buf plain;

	buf_init(&plain, 4096);
	assert_true(text_plain(&plain, span_of(text)));
	if (!*text || strlen(text) > size_max || !span_equal(buf_span(&plain), span_of(text)))
		fail_msg("%s: empty, longer than %zu bytes, or not one line of text: %s", row->name, size_max, text);
	buf_free(&plain);
}

static void sentences_in_both_languages(void **state)
{
	for (unsigned i = 0; i < PROVIDER_FAULTS; i++) {
		const struct fault_row *row = fault_row(provider_faults[i]);

		for (unsigned language = 0; language < LANGUAGE_COUNT; language++) {
			check_sentence(row, row->says[language], 160);
			check_sentence(row, row->remedy_pattern[language], 300);
		}
		assert_string_not_equal(row->says[LANGUAGE_EN], row->says[LANGUAGE_FR]);
		assert_string_not_equal(row->remedy_pattern[LANGUAGE_EN], row->remedy_pattern[LANGUAGE_FR]);
	}
}

/* The class decides what becomes of a message; the digits of the row may not contradict it. */
static void classes_and_digits(void **state)
{
	for (unsigned i = 0; i < PROVIDER_FAULTS; i++) {
		const struct fault_row *row = fault_row(provider_faults[i]);
		bool waits = row->class == FAULT_CLASS_RETRY;

		if (!waits && row->class != FAULT_CLASS_HOLD && row->class != FAULT_CLASS_REFUSE)
			fail_msg("%s: its class says nothing about a message", row->name);
		if (row->smtp / 100 != (waits ? 4 : 5) || row->enhanced[0] != (waits ? '4' : '5'))
			fail_msg("%s: %d %s does not go with its class", row->name, row->smtp, row->enhanced);
	}
}

static const struct {
	enum fault fault;
	int code;
	const char *enhanced, *pattern;
} rows[] = {
#define REPLY(fault, code, enhanced, pattern) { FAULT_##fault, code, enhanced, pattern },
#include "tables/replies.def"
};

/* What a row asks for is recognised as what it says: none stands behind one that takes everything from it. */
static void rows_are_not_shadowed(void **state)
{
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct span enhanced = span_of(rows[i].enhanced);
		char text[256];
		enum fault got;

		assert_true(strlen(rows[i].pattern) < 96); /* PIECE_BYTES of the module */
		snprintf(text, sizeof text, "%s", rows[i].pattern);
		for (char *star = text; (star = strchr(star, '*'));)
			*star = 'x';
		got = recognise_reply(rows[i].code, span_slice(enhanced, 0, span_find_byte(enhanced, '-')),
				      span_of(text));
		if (got != rows[i].fault)
			fail_msg("%s \"%s\" is taken for %s", rows[i].enhanced, text, fault_row(got)->name);
	}
}

/* What the digits of a provider would get wrong. */
static void class_against_the_digit(void **state)
{
	static const struct {
		const char *text;
		enum fault_class class;
	} cases[] = {
		{ "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
		  FAULT_CLASS_HOLD },
		{ "430 4.2.0 STOREDRV; mailbox logon failure;", FAULT_CLASS_HOLD },
		{ "550 5.4.5 Daily user sending quota exceeded. x - gsmtp", FAULT_CLASS_RETRY },
		{ "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", FAULT_CLASS_RETRY },
		{ "550 5.2.252 Sender throttled due to continuous send as denied errors.", FAULT_CLASS_RETRY },
		{ "554 5.2.252 SendAsDenied; a@x not allowed to send as b@y;", FAULT_CLASS_REFUSE },
		{ "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException", FAULT_CLASS_HOLD },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(fault_row(recognise_text(span_of(cases[i].text)))->class, cases[i].class);
}

static void the_given_codes_count(void **state)
{
	assert_int_equal(recognise_reply(550, SPAN("5.2.252"), SPAN("")), FAULT_EXCHANGE_PENALTY_SEND_AS);
	assert_int_equal(recognise_reply(554, SPAN("5.2.252"), SPAN("")), FAULT_OK);
	assert_int_equal(recognise_reply(550, SPAN("5.7.649"), SPAN("")), FAULT_MX_ADDRESS_BANNED);
	assert_int_equal(recognise_reply(550, SPAN("5.7.650"), SPAN("")), FAULT_OK);
	assert_int_equal(recognise_reply(451, SPAN("4.7.499"), SPAN("")), FAULT_OK);
	assert_int_equal(recognise_reply(250, SPAN("2.0.0"), SPAN("")), FAULT_OK);
	assert_int_equal(recognise_reply(0, (struct span){ NULL, 0 }, (struct span){ NULL, 0 }), FAULT_OK);
}

/* Microsoft asks that clients act on the words; the numbers only say more. */
static void words_before_numbers(void **state)
{
	struct span pending = SPAN("AADSTS70016: pending"), blocked = SPAN("AADSTS53003: blocked");
	struct span none = SPAN("");

	assert_int_equal(recognise_token_error(SPAN("slow_down"), none, pending), FAULT_OAUTH_SLOW_DOWN);
	assert_int_equal(recognise_token_error(SPAN("server_error"), none, blocked), FAULT_OAUTH_SERVER_AWAY);
	assert_int_equal(recognise_token_error(SPAN("access_denied"), none, blocked), FAULT_OAUTH_POLICY_BLOCKED);
	assert_int_equal(recognise_token_error(SPAN("access_denied"), none, none), FAULT_OAUTH_DECLINED);
	assert_int_equal(recognise_token_error(SPAN("invalid_grant"), SPAN("unheard_of"), none),
			 FAULT_OAUTH_GRANT_ENDED);
	assert_int_equal(recognise_token_error(SPAN("unheard_of"), none, blocked), FAULT_OAUTH_POLICY_BLOCKED);
	assert_int_equal(recognise_token_error(SPAN("unheard_of"), none, none), FAULT_OK);
	assert_int_equal(recognise_token_error(none, none, none), FAULT_OK);
}

static char long_text[RECOGNISE_BYTES + 4096];

static void fill(const char *with)
{
	for (size_t at = 0; at < sizeof long_text; at++)
		long_text[at] = with[at % strlen(with)];
}

/* Long texts are read to the ceiling, and what stands beyond it is not. */
static void long_texts(void **state)
{
	static const char said[] =
		" 535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant";
	static const char *const fills[] = { "x",  " ",    "<a ",           "&#", "\\u", "=",
					     "5.", "535 ", "unsuccessful ", "\n", "%4",  "<br" };
	struct span all = { long_text, sizeof long_text };

	for (size_t i = 0; i < sizeof fills / sizeof *fills; i++) {
		fill(fills[i]);
		memcpy(long_text + RECOGNISE_BYTES - sizeof said + 1, said, sizeof said - 1);
		assert_int_equal(recognise_text(all), FAULT_SMTP_AUTH_OFF_TENANT);
		fill(fills[i]);
		memcpy(long_text + RECOGNISE_BYTES, said, sizeof said - 1);
		assert_int_equal(recognise_text(all), FAULT_OK);
	}
}

TESTS(texts_of_providers, variants, every_row_is_reached, sentences_in_both_languages, classes_and_digits,
      rows_are_not_shadowed, class_against_the_digit, the_given_codes_count, words_before_numbers, long_texts)
