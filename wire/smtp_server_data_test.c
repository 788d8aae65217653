/* The bytes of messages: DATA with every ending that ever smuggled, BDAT at every corner, sizes, and verdicts. */
#include "tests/smtp_chat.h"

#define GO "354 send the message, end it with <CRLF>.<CRLF>\r\n"
#define TAKEN "250 2.0.0 m1 accepted by sink.test: ok\r\n"
#define BARE "554 5.5.2 bare CR or LF in the stream; The client must end lines with CR LF.\r\n"
#define NUL "554 5.5.2 a NUL byte where text was due\r\n"
#define TOO_LARGE                                                                                                      \
	"552 5.3.4 the message is larger than this server takes; Send less, or raise `size_limit` of the "             \
	"listener.\r\n"
#define OUT_OF_ORDER "503 5.5.1 command not allowed now\r\n"
#define BAD_ARGUMENT "501 5.5.4 argument not understood\r\n"
#define CHUNK "250 2.0.0 chunk received\r\n"
#define HERE "250 2.0.0 here\r\n"

static struct chat chat;

/* Says a script behind MAIL and RCPT, whole, byte by byte and cut at random. */
static void expect_limited(uint64_t size_bytes, struct span script, const char *wanted)
{
	for (uint32_t seed = 0; seed < 40; seed++) {
		chat = (struct chat){ .limits = { .size_bytes = size_bytes } };
		chat_open_message(&chat);
		chat.seed = seed;
		chat_say(&chat, script);
		assert_string_equal(chat_text(&chat), wanted);
	}
}

static void expect(struct span script, const char *wanted)
{
	expect_limited(0, script, wanted);
}

static void plain_bodies(void **state)
{
	expect(SPAN("DATA\r\n.\r\nNOOP\r\n"), GO "? end ESMTP\n" TAKEN HERE);
	expect(SPAN("DATA\r\n\r\n.\r\n"), GO "[\r\n]\n? end ESMTP\n" TAKEN);
	expect(SPAN("DATA\r\na\r\n..\r\n...b\r\n.c\r\n..\r\n.\r\nNOOP\r\n"),
	       GO "[a\r\n.\r\n..b\r\nc\r\n.\r\n]\n? end ESMTP\n" TAKEN HERE);
	expect(SPAN("DATA\r\na.\r\nb .\r\n.\r\n"), GO "[a.\r\nb .\r\n]\n? end ESMTP\n" TAKEN);
	expect(SPAN("DATA\r\n\xff\xfe\x80\r\n.\r\n"), GO "[\xff\xfe\x80\r\n]\n? end ESMTP\n" TAKEN);
}

/* smtpsmug's endings: none ends the message, each spoils it, and what was to be smuggled is read as its text. */
static void t_smuggle_11_endings(void **state)
{
	static const struct {
		struct span ending;
		bool nul;
	} endings[] = {
		{ SPAN("\n.\n"), false },       { SPAN("\r.\r"), false },       { SPAN("\r.\n"), false },
		{ SPAN("\n.\r"), false },       { SPAN("\n.\r\n"), false },     { SPAN("\r\n.\n"), false },
		{ SPAN("\r.\r\n"), false },     { SPAN("\r\n.\r"), false },     { SPAN("\r\n\0.\r\n"), true },
		{ SPAN("\r\n.\0\r\n"), true },  { SPAN("\r\n.\r\r\n"), false }, { SPAN("\r\n\r.\r\n"), false },
		{ SPAN("\r\n.\n\r\n"), false }, { SPAN("\n\r\n.\n"), false },   { SPAN("\r\r\n.\n"), false },
	};
	char script[200], *at;

	for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
		at = script + sprintf(script, "DATA\r\nfirst");
		memcpy(at, endings[i].ending.at, endings[i].ending.size);
		at += endings[i].ending.size;
		at += sprintf(at, "MAIL FROM:<smuggled@x>\r\nRCPT TO:<v@y>\r\nDATA\r\nsecond\r\n.\r\nNOOP\r\n");
		for (uint32_t seed = 0; seed < 40; seed++) {
			chat = (struct chat){ 0 };
			chat_open_message(&chat);
			chat.seed = seed;
			chat_say(&chat, (struct span){ script, (size_t)(at - script) });
			const char *text = chat_text(&chat), *end = strstr(text, "drop\n");

			assert_memory_equal(text, GO "[first", strlen(GO) + 6);
			assert_null(strstr(text, "? from"));
			assert_null(strstr(text, "? end"));
			assert_non_null(end);
			assert_string_equal(end, endings[i].nul ? "drop\n" NUL HERE : "drop\n" BARE HERE);
		}
	}
}

/* "pipelining", smtpsmug's last: what follows the true end is the next command and nothing else. */
static void t_smuggle_11_pipelining(void **state)
{
	expect(SPAN("DATA\r\nx\r\n.\r\nMAIL FROM:<c@x>\r\nRCPT TO:<d@y>\r\nDATA\r\ny\r\n.\r\nQUIT\r\n"),
	       GO "[x\r\n]\n? end ESMTP\n" TAKEN
		  "? from <c@x>\n250 2.1.0 sender ok\r\n? to <d@y>\n250 2.1.5 recipient ok\r\n" GO
		  "[y\r\n]\n? end ESMTP\n" TAKEN "221 2.0.0 bye\r\nclose\n");
}

static void bare_newline_drops_at_once_and_replies_at_the_end(void **state)
{
	chat = (struct chat){ 0 };
	chat_open_message(&chat);
	chat_say(&chat, SPAN("DATA\r\na\nb"));
	assert_string_equal(chat_text(&chat), GO "[a]\ndrop\n");
	chat_say(&chat, SPAN("more\r\nMAIL FROM:<x@y>\r\n"));
	assert_string_equal(chat_text(&chat), "");
	chat_say(&chat, SPAN(".\r\n"));
	assert_string_equal(chat_text(&chat), BARE);
}

static void t_smuggle_11_in_commands(void **state)
{
	expect(SPAN("NOOP\nRSET\r\nNOOP\r\n"), BARE "drop\n250 2.0.0 forgotten\r\n" HERE);
	expect(SPAN("NOOP\rRSET\r\nNOOP\r\n"), BARE HERE);
	expect(SPAN("NOOP \r\r\nNOOP\r\n"), BARE HERE);
	expect(SPAN("NO\0OP\r\nNOOP\r\n"), NUL HERE);
}

static void t_smuggle_14_bdat_whole(void **state)
{
	expect(SPAN("BDAT 7 LAST\r\nabc\r\n\r\nNOOP\r\n"), "[abc\r\n\r\n]\n? end ESMTP\n" TAKEN HERE);
	expect(SPAN("BDAT 5\r\nabc\r\nBDAT 3 last\r\nd\r\nNOOP\r\n"),
	       "[abc\r\n]\n" CHUNK "[d\r\n]\n? end ESMTP\n" TAKEN HERE);
	expect(SPAN("BDAT 3 LAST\r\n.\r\nNOOP\r\n"),
	       "[.\r\n]\n? end ESMTP\n" TAKEN HERE); /* a dot means nothing here */
	expect(SPAN("BDAT 0 LAST\r\nNOOP\r\n"), "? end ESMTP\n" TAKEN HERE);
	expect(SPAN("BDAT 0\r\nNOOP\r\nBDAT 3\r\na\r\nBDAT 0 LAST\r\n"),
	       CHUNK HERE "[a\r\n]\n" CHUNK "? end ESMTP\n" TAKEN);
}

static void t_smuggle_14_bdat_inside_crlf(void **state)
{
	expect(SPAN("BDAT 2\r\na\rBDAT 2 LAST\r\n\nbNOOP\r\n"), "[a\r]\n" CHUNK "[\nb]\n? end ESMTP\n" TAKEN HERE);
	expect(SPAN("BDAT 2\r\na\rBDAT 2 LAST\r\nb\nNOOP\r\n"), "[a\r]\n" CHUNK "drop\n" BARE HERE);
	expect(SPAN("BDAT 2 LAST\r\na\rNOOP\r\n"), "[a\r]\ndrop\n" BARE HERE);
	expect(SPAN("BDAT 2 LAST\r\n\naNOOP\r\n"), "drop\n" BARE HERE);
	expect(SPAN("BDAT 3\r\na\nbBDAT 1\r\ncBDAT 3 LAST\r\nd\r\nNOOP\r\n"), "[a]\ndrop\n" BARE BARE BARE HERE);
	expect(SPAN("BDAT 3 LAST\r\na\0bNOOP\r\n"), "[a]\ndrop\n" NUL HERE);
}

static void t_smuggle_14_bdat_out_of_order(void **state)
{
	expect(SPAN("BDAT 3\r\na\r\nDATA\r\nMAIL FROM:<c@x>\r\nRCPT TO:<d@y>\r\nNOOP\r\n"),
	       "[a\r\n]\n" CHUNK OUT_OF_ORDER OUT_OF_ORDER OUT_OF_ORDER HERE);
	expect(SPAN("DATA\r\nx\r\n.\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
	       GO "[x\r\n]\n? end ESMTP\n" TAKEN OUT_OF_ORDER HERE);
	expect(SPAN("BDAT 3 LAST\r\nx\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n"),
	       "[x\r\n]\n? end ESMTP\n" TAKEN OUT_OF_ORDER HERE);
	expect(SPAN("RSET\r\nMAIL FROM:<a@x>\r\nBDAT 6 LAST\r\nQUIT\r\nRCPT TO:<b@y>\r\n"),
	       "drop\n250 2.0.0 forgotten\r\n? from <a@x>\n250 2.1.0 sender ok\r\n554 5.5.1 no valid recipients\r\n"
	       "? to <b@y>\n250 2.1.5 recipient ok\r\n");
	expect(SPAN("BDAT 3\r\na\r\nRSET\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n"),
	       "[a\r\n]\n" CHUNK "drop\n250 2.0.0 forgotten\r\n" OUT_OF_ORDER HERE);
	expect(SPAN("BDAT 3\r\na\r\nEHLO c\r\n"),
	       "[a\r\n]\n" CHUNK "drop\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
	       "250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n");
	expect(SPAN("BDAT 3\r\na\r\nQUIT\r\n"), "[a\r\n]\n" CHUNK "drop\n221 2.0.0 bye\r\nclose\n");
}

/* Where the size says nothing, nobody knows what is command and what is content: the session ends. */
static void t_smuggle_14_bdat_sizes(void **state)
{
	static const char *const broken[] = { "-1",
					      "",
					      "x",
					      "1x",
					      "+1",
					      "0x10",
					      "18446744073709551616",
					      "99999999999999999999999",
					      "1 LAS",
					      "1 LAST LAST",
					      "1.0" };
	static const char *const huge[] = { "2147483649", "9223372036854775808", "18446744073709551615" };
	char script[100];

	for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
		snprintf(script, sizeof script, "BDAT %s\r\nMAIL FROM:<smuggled@x>\r\n", broken[i]);
		expect(span_of(script), BAD_ARGUMENT "drop\nclose\n");
	}
	for (size_t i = 0; i < sizeof huge / sizeof *huge; i++) {
		snprintf(script, sizeof script, "BDAT %s\r\nMAIL FROM:<smuggled@x>\r\n", huge[i]);
		expect(span_of(script), TOO_LARGE "drop\nclose\n");
	}
	expect(SPAN("BDAT 2147483648 LAST\r\nQUIT\r\n"), "[QUIT\r\n]\n"); /* 2^31 is read as said */
}

static void t_smuggle_14_bdat_cut_short(void **state)
{
	chat = (struct chat){ 0 };
	chat_open_message(&chat);
	chat_say(&chat, SPAN("BDAT 100 LAST\r\nabc\r\n"));
	smtp_server_ended(&chat.server);
	chat_serve(&chat);
	assert_string_equal(chat_text(&chat), "[abc\r\n]\ndrop\nclose\n");
	chat = (struct chat){ 0 }; /* a chunk that was not allowed belongs to no message */
	chat_open_trusted(&chat);
	chat_say(&chat, SPAN("BDAT 100\r\nabc\r\n"));
	smtp_server_spoil(&chat.server, FAULT_POST_AWAY);
	smtp_server_ended(&chat.server);
	chat_serve(&chat);
	assert_string_equal(chat_text(&chat), "close\n");
}

/* RFC 3030 3: binary content goes by BDAT alone, and there bare CR, LF and NUL are content. */
static void binarymime(void **state)
{
	chat = (struct chat){ 0 };
	chat_open_trusted(&chat);
	chat_say(&chat, SPAN("MAIL FROM:<a@x> BODY=BINARYMIME\r\nRCPT TO:<b@y>\r\nDATA\r\nBDAT 6\r\na\nb\rc\rBDAT 1 "
			     "LAST\r\n\r"));
	assert_string_equal(
		chat_text(&chat),
		"? from <a@x> BINARYMIME\n250 2.1.0 sender ok\r\n? to <b@y>\n250 2.1.5 recipient ok\r\n" OUT_OF_ORDER
		"[a\nb\rc\r]\n" CHUNK "[\r]\n? end ESMTP\n" TAKEN);
}

static void bad_input_oversize_message(void **state)
{
	expect_limited(10, SPAN("DATA\r\n12345678\r\n.\r\n"), GO "[12345678\r\n]\n? end ESMTP\n" TAKEN);
	expect_limited(10, SPAN("BDAT 10 LAST\r\n12345678\r\n"), "[12345678\r\n]\n? end ESMTP\n" TAKEN);
	expect_limited(10, SPAN("BDAT 11 LAST\r\n123456789\r\nNOOP\r\n"), "drop\n" TOO_LARGE HERE);
	expect_limited(10, SPAN("BDAT 5\r\n12345BDAT 6\r\n1234\r\nBDAT 1 LAST\r\nxNOOP\r\n"),
		       "[12345]\n" CHUNK "drop\n" TOO_LARGE TOO_LARGE HERE);
	expect_limited(10, SPAN("DATA\r\n123456789\r\nMAIL FROM:<x@y>\r\n.\r\nNOOP\r\nMAIL FROM:<a@x> SIZE=11\r\n"),
		       GO "[123456789\r]\ndrop\n" TOO_LARGE HERE TOO_LARGE);
}

/* A reason of the driver's in the middle of a body: the rest is read, nothing more is asked. */
static void given_up_by_the_driver(void **state)
{
	static const char refusal[] = "452 4.3.1 too much mail arrives at once; It passes; or raise `body_memory`.\r\n";

	for (uint32_t seed = 0; seed < 40; seed++) {
		for (size_t chunked = 0; chunked < 2; chunked++) {
			chat = (struct chat){ .spoil_at = 3 };
			chat_open_message(&chat);
			chat.seed = seed;
			chat_say(&chat, chunked ? SPAN("BDAT 8 LAST\r\n123456\r\nNOOP\r\n")
						: SPAN("DATA\r\n123456\r\n.\r\nNOOP\r\n"));
			const char *text = chat_text(&chat), *end = strstr(text, "]\n");

			assert_non_null(end);
			assert_null(strstr(text, "drop"));
			assert_memory_equal(end + 2, refusal, strlen(refusal));
			assert_string_equal(end + 2 + strlen(refusal), HERE);
		}
	}
}

static void given_up_before_the_body(void **state)
{
	chat = (struct chat){ 0 };
	chat_open_message(&chat);
	smtp_server_spoil(&chat.server, FAULT_POST_AWAY);
	chat_say(&chat, SPAN("DATA\r\nx\r\n.\r\nMAIL FROM:<a@x>\r\n"));
	assert_string_equal(
		chat_text(&chat), GO
		"451 4.3.0 the queue is restarting; Try again; see the log.\r\n? from <a@x>\n250 2.1.0 sender ok\r\n");
	smtp_server_spoil(&chat.server, FAULT_POST_AWAY);
	chat_say(&chat, SPAN("RSET\r\n"));
	assert_string_equal(chat_text(&chat), "250 2.0.0 forgotten\r\n"); /* the driver knows already */
}

static void expect_verdict(struct smtp_server_answer verdict, const char *wanted)
{
	chat = (struct chat){ .verdict = verdict };
	chat_open_message(&chat);
	chat_say(&chat, SPAN("DATA\r\n.\r\n"));
	const char *text = strstr(chat_text(&chat), "? end ESMTP\n");

	assert_non_null(text);
	assert_string_equal(text + 12, wanted);
}

static void verdicts(void **state)
{
	expect_verdict((struct smtp_server_answer){ .code = 250,
						    .enhanced = SPAN("2.0.0"),
						    .text = SPAN("7 queued: no slot") },
		       "250 2.0.0 7 queued: no slot\r\n");
	expect_verdict((struct smtp_server_answer){ FAULT_UPSTREAM_REPLY, 554, SPAN("5.2.252"),
						    SPAN("SendAsDenied; a not allowed\nto send\r\nas b") },
		       "554-5.2.252 SendAsDenied; a not allowed\r\n554-5.2.252 to send\r\n554 5.2.252 as b\r\n");
	expect_verdict((struct smtp_server_answer){ .fault = FAULT_DISK_FULL },
		       "452 4.3.1 no room on the disk; Free some space in the data directory.\r\n");
	/* enhanced codes that do not go with the code, and codes that are none */
	expect_verdict((struct smtp_server_answer){ FAULT_UPSTREAM_REPLY, 550, SPAN("4.7.1"), SPAN("x") },
		       "550 5.0.0 x\r\n");
	expect_verdict((struct smtp_server_answer){ FAULT_UPSTREAM_REPLY, 550, SPAN("5.7"), SPAN("x") },
		       "550 5.0.0 x\r\n");
	expect_verdict((struct smtp_server_answer){ FAULT_UPSTREAM_REPLY, 354, SPAN(""), SPAN("x") },
		       "451 4.0.0 x\r\n");
	expect_verdict((struct smtp_server_answer){ FAULT_UPSTREAM_REPLY, 99999, SPAN(""), SPAN("x") },
		       "451 4.0.0 x\r\n");
	expect_verdict((struct smtp_server_answer){ FAULT_SHUTTING_DOWN, 0, SPAN(""), SPAN("") },
		       "421 4.3.2 closing for a restart\r\nclose\n");
	/* no text of an upstream's can end a line, or reach a terminal */
	expect_verdict(
		(struct smtp_server_answer){ .code = 250, .text = SPAN("a\rb\x1b[2Jc\0d\xc3\xa9\xff\r\n.\r\n250 x") },
		"250-2.0.0 ab?[2Jc?d??\r\n250-2.0.0 .\r\n250 2.0.0 250 x\r\n");
}

static void long_verdicts_are_folded(void **state)
{
	char text[8000], *line;
	size_t lines = 0, words = 0;

	for (size_t i = 0; i < sizeof text; i++)
		text[i] = i % 8 == 7 ? ' ' : 'w';
	chat = (struct chat){ .verdict = { .fault = FAULT_UPSTREAM_REPLY,
					   .code = 554,
					   .enhanced = SPAN("5.2.0"),
					   .text = { text, sizeof text } } };
	chat_open_message(&chat);
	chat_say(&chat, SPAN("DATA\r\n.\r\n"));
	line = strstr(chat.text, "554");
	chat_text(&chat);
	for (; *line; lines++) {
		size_t size = (size_t)(strstr(line, "\r\n") + 2 - line);

		assert_true(size <= 512);
		assert_memory_equal(line, line[size] ? "554-5.2.0 " : "554 5.2.0 ", 10);
		assert_memory_equal(line + size - 9, "wwwwwww\r\n", 9); /* folded between words */
		words += (size - 11) / 8;
		line += size;
	}
	assert_true(lines >= 7 && words > 400); /* what does not fit in SMTP_SERVER_REPLY_BYTES is cut */
	memset(text, 'x', sizeof text);
	chat.verdict.text = (struct span){ text, 1000 };
	chat_say(&chat, SPAN("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n.\r\n"));
	line = strstr(chat_text(&chat), "554-");
	assert_int_equal(strstr(line, "\r\n") + 2 - line, 512); /* one word without an end */
}

/* A long body passes in the runs that were fed, and not one byte is copied. */
static void bodies_are_borrowed(void **state)
{
	static char body[100000];
	struct smtp_server_wish w;

	for (size_t i = 0; i < sizeof body; i++)
		body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : 'x';
	chat = (struct chat){ 0 };
	chat_open_message(&chat);
	chat_say(&chat, SPAN("DATA\r\n"));
	assert_int_equal(smtp_server_feed(&chat.server, (struct span){ body, sizeof body }), sizeof body);
	assert_int_equal(smtp_server_feed(&chat.server, SPAN("x")), 0); /* not before the driver took it */
	assert_true(smtp_server_poll(&chat.server, &w));
	assert_int_equal(w.kind, SMTP_SERVER_BODY);
	assert_ptr_equal(w.text.at, body);
	assert_int_equal(w.text.size, sizeof body);
	assert_false(smtp_server_poll(&chat.server, &w));
	smtp_server_ended(&chat.server);
}

/* Names may be as long as addresses get; each line of the reply still holds, and nothing of the remedy is lost. */
static void long_names_fit_a_reply(void **state)
{
	char name[320], *line, joined[2048] = "";
	struct remedy_names names = { .mailbox = { name, sizeof name }, .sender = { name, sizeof name } };

	memset(name, 'n', sizeof name);
	chat = (struct chat){ .verdict = { .fault = FAULT_SEND_AS_DENIED, .names = &names } };
	chat_open_message(&chat);
	chat_say(&chat, SPAN("DATA\r\n.\r\n"));
	line = strstr(chat.text, "? end ESMTP\n") + 12;
	while (*line) {
		size_t size = (size_t)(strstr(line, "\r\n") + 2 - line);

		assert_true(size <= 512);
		strncat(joined, line + 10, size - 12);
		strcat(joined, " ");
		line += size;
	}
	assert_non_null(strstr(joined, "--sender-rule rewrite`."));
	line = strstr(joined, "nnn");
	assert_int_equal(strspn(line, "n"), sizeof name);
}

TESTS(plain_bodies, t_smuggle_11_endings, t_smuggle_11_pipelining, bare_newline_drops_at_once_and_replies_at_the_end,
      t_smuggle_11_in_commands, t_smuggle_14_bdat_whole, t_smuggle_14_bdat_inside_crlf, t_smuggle_14_bdat_out_of_order,
      t_smuggle_14_bdat_sizes, t_smuggle_14_bdat_cut_short, binarymime, bad_input_oversize_message,
      given_up_by_the_driver, given_up_before_the_body, verdicts, long_verdicts_are_folded, long_names_fit_a_reply, bodies_are_borrowed)
