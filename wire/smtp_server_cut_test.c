/* The property that every core keeps: the transcript does not depend on how the bytes were cut. */
#include "tests/smtp_chat.h"

#include "base/text.h"

#include <stdlib.h>

struct session {
	struct smtp_server_limits limits;
	struct span script;
};

#define TRUSTED                                                                                                        \
	{                                                                                                              \
		.trusted = true, .size_bytes = 300, .errors = 12                                                       \
	}
#define SUBMISSION                                                                                                     \
	{                                                                                                              \
		.tls = SMTP_SERVER_TLS_REQUIRED, .mechanisms = SASL_ALL, .errors = 12                                  \
	}

/* Each holds what the others lack; \f is where a client must wait for the handshake. */
static const struct session sessions[] = {
	{ TRUSTED, SPAN("EHLO c\r\nMAIL FROM:<a@x> SIZE=10\r\nRCPT TO:<b@y>\r\nRCPT "
			"TO:<no@y>\r\nDATA\r\n..a\r\n.b\r\n\r\n.\r\nRSET\r\nQUIT\r\n") },
	{ TRUSTED, SPAN("HELO c\r\nmail from: a@x\r\nrcpt to: "
			"b@y\r\ndata\r\na\r\n.\n.\r\r\n.\rx\r\n\r\n..\r\n.\r\nNOOP\r\nquit\r\n") },
	{ TRUSTED, SPAN("EHLO c\r\nNOOP\rx\r\nNOOP\nNO\0OP\r\n\r\nXYZ\r\n\r\r\n\nMAIL FROM:<a@x>\r\nEHLO "
			"d\r\nDATA\r\nQUIT\r\n") },
	{ TRUSTED, SPAN("EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nBDAT 3\r\na\r\nBDAT 2\r\nb\rBDAT 1 "
			"LAST\r\n\nBDAT 4\r\nNOOPMAIL FROM:<a@x>\r\n"
			"RCPT TO:<b@y>\r\nBDAT 5\r\na\nb\r\nBDAT 0 LAST\r\nBDAT -1\r\nNOOP\r\n") },
	{ TRUSTED, SPAN("EHLO c\r\nMAIL FROM:<a@x> BODY=BINARYMIME\r\nRCPT TO:<b@y>\r\nDATA\r\nBDAT 6 "
			"LAST\r\n\n\r\0\r\n.\r\nMAIL FROM:<no@x>\r\nQUIT\r\n") },
	{ TRUSTED, SPAN("EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
			".\r\nNOOP\r\nGET / HTTP/1.1\r\nNOOP\r\n") },
	{ SUBMISSION, SPAN("EHLO c\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\nSTARTTLS\r\n\fEHLO c\r\nMAIL FROM:<a@x>\r\nAUTH "
			   "LOGIN\r\ndGlt\r\nd3Jvbmc=\r\n"
			   "AUTH OAUTHBEARER bixhPXRpbSwBYXV0aD1CZWFyZXIgd3JvbmcBAQ==\r\nAQ==\r\nAUTH "
			   "PLAIN\r\n*\r\nAUTH XOAUTH2\r\n"
			   "dXNlcj10aW0BYXV0aD1CZWFyZXIgc2VjcmV0AQE=\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y> "
			   "NOTIFY=NEVER\r\nDATA\r\n\r\n.\r\nQUIT\r\n") },
	{ SUBMISSION, SPAN("EHLO c\r\nSTARTTLS\r\n\fEHLO c\r\nAUTH PLAIN\r\nAHRp\nbQBz\r\nAUTH PLAIN =\r\nAUTH LOGIN "
			   "=\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\n") },
	{ TRUSTED, SPAN("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") },
};

static void drive(struct chat *c, const struct session *session, uint32_t seed)
{
	c->limits = session->limits;
	c->seed = seed;
	c->heard_out = true;
	chat_open(c);
	chat_say(c, session->script);
	chat_text(c);
}

static void same_transcript_however_cut(void **state)
{
	static struct chat whole, cut;

	for (size_t i = 0; i < sizeof sessions / sizeof *sessions; i++) {
		drive(&whole, &sessions[i], 0);
		assert_true(strlen(whole.text) > 80);
		for (uint32_t seed = 1; seed <= 2000; seed++) {
			drive(&cut, &sessions[i], seed);
			if (strcmp(whole.text, cut.text) != 0)
				fail_msg("session %zu, seed %u:\n%s\n-- is not --\n%s", i, seed, cut.text, whole.text);
		}
	}
}

/* --- T-SMUGGLE 13: a body that is sent stuffed comes out as it was, by DATA and by BDAT */

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1103515245u + 12345u;
	return *seed >> 16;
}

/* Lines of dots, nothing and noise, with line ends that are whole. */
static size_t random_body(char *body, size_t room, uint32_t seed)
{
	static const char *const pieces[] = { ".",    "..", "x", ".\t.", "\r\n", "\r\n", "\r\n.", "MAIL FROM:<a@x>",
					      "\xff", " " };
	size_t size = 0;

	for (uint32_t count = next(&seed) % 40; count-- && size + 32 < room;) {
		const char *piece = pieces[next(&seed) % 10];

		memcpy(body + size, piece, strlen(piece));
		size += strlen(piece);
	}
	memcpy(body + size, "\r\n", 2);
	return size + 2;
}

static size_t stuff(const char *body, size_t size, char *out)
{
	size_t to = 0;

	for (size_t i = 0; i < size; i++) {
		if (body[i] == '.' && (!i || body[i - 1] == '\n'))
			out[to++] = '.';
		out[to++] = body[i];
	}
	return to;
}

static void expect_body(struct chat *c, struct span script, struct span body, const char *between)
{
	const char *text;

	chat_open_message(c);
	chat_say(c, script);
	text = strchr(chat_text(c), '[');
	assert_non_null(text);
	assert_memory_equal(text + 1, body.at, body.size);
	assert_string_equal(text + 1 + body.size, between);
}

static void t_smuggle_13_round_trip(void **state)
{
	static const char end[] = "]\n? end ESMTP\n250 2.0.0 m1 accepted by sink.test: ok\r\n";
	static struct chat c;
	static char body[1000], script[3000];

	for (uint32_t seed = 1; seed <= 3000; seed++) {
		size_t size = random_body(body, sizeof body, seed), at;

		c = (struct chat){ .seed = seed % 3 ? seed : 0 };
		at = (size_t)sprintf(script, "DATA\r\n");
		at += stuff(body, size, script + at);
		at += (size_t)sprintf(script + at, ".\r\n");
		expect_body(&c, (struct span){ script, at }, (struct span){ body, size }, end);
		at = (size_t)sprintf(script, "BDAT %zu LAST\r\n", size);
		memcpy(script + at, body, size);
		expect_body(&c, (struct span){ script, at + size }, (struct span){ body, size }, end);
	}
}

/* --- the dictionary for fuzzing is made from the verb table */

static void dictionary_is_in_step(void **state)
{
	static const char *const verbs[] = {
#define SMTP_VERB(name, ...) #name,
#include "tables/smtp_verbs.def"
#undef SMTP_VERB
	};
	static char text[20000];
	char entry[40];
	FILE *file = fopen(TEST_SOURCE_ROOT "/fuzz/smtp_server.dict", "r");

	assert_non_null(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	fclose(file);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		snprintf(entry, sizeof entry, "\"%s\"\n", verbs[i]);
		if (!strstr(text, entry))
			fail_msg("fuzz/smtp_server.dict lacks %s: run tools/dictionaries", verbs[i]);
	}
}

TESTS(same_transcript_however_cut, t_smuggle_13_round_trip, dictionary_is_in_step)
