/* The property that every core keeps, the transcript does not depend on how the bytes were cut; and that nothing
 * smuggled leaves us, whatever the message. */
#include "tests/smtp_client_chat.h"

#define HELLO_CLEAR "250-up.example Hello [192.0.2.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-STARTTLS\r\n250 DSN\r\n"
#define HELLO \
	"250-up.example Hello [192.0.2.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n" \
	"250-AUTH LOGIN XOAUTH2\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"
#define BODY "From: a@x\r\nTo: b@y\r\n\r\n.\r\n..dots\r\nlast\r\n"

enum { CUTTINGS = 3000 };

static struct chat chat, whole;
static struct smtp_client_recipient recipients[CHAT_MESSAGES][8];

static void mail(size_t at, const char *sender, const char *to, struct span body, bool has_size)
{
	struct span rest = span_of(to), one;
	size_t count = 0;

	memset(recipients[at], 0, sizeof recipients[at]);
	while (span_cut(&rest, ' ', &one))
		recipients[at][count++].address = one;
	chat.mails[at] = (struct chat_mail){
		.body = body,
		.message = { .sender = span_of(sender), .recipients = recipients[at], .recipient_count = count,
			     .has_size = has_size, .size_bytes = body.size },
	};
}

/* Four messages over one connection, good and bad, ending in a loss. */
static void eventful(void)
{
	static const struct chat_rule rules[] = {
		{ "greeting", "220-up.example ESMTP\r\n220 ready\r\n" },
		{ "EHLO", HELLO_CLEAR, 1 },
		{ "EHLO", HELLO },
		{ "STARTTLS", "220 2.0.0 SMTP server ready\r\n" },
		{ "AUTH XOAUTH2", "334\r\n" },
		{ "dXNlcj", "235 2.7.0 Authentication successful\r\n" },
		{ "MAIL FROM:<no@", "550-5.7.60 SMTP; Client does not have permissions\r\n550 5.7.60 to send as this sender\r\n" },
		{ "MAIL FROM", "250 2.1.0 Sender OK\r\n" },
		{ "RCPT TO:<no@", "550 5.1.1 unknown\r\n" },
		{ "RCPT TO", "250 2.1.5 Recipient OK\r\n" },
		{ "DATA", "354 Start mail input; end with <CRLF>.<CRLF>\r\n" },
		{ "RSET", "250 2.0.0 Resetting\r\n" },
		{ ".", "250 2.0.0 OK <1@up> [Hostname=up]\r\n", 1 },
		{ ".", "432 4.3.2 Concurrent connections limit exceeded.\r\n", 1 },
		{ ".", "\1" },
	};

	memset(&chat, 0, sizeof chat);
	memcpy(chat.rules, rules, sizeof rules);
	chat.settings = (struct smtp_client_settings){ SPAN("gw"), SPAN("up.example"), 587, SMTP_CLIENT_STARTTLS, SASL_XOAUTH2 };
	chat.user = "al@example.com";
	chat.secret = "token";
	mail(0, "a@x", "b@y no@y c@y", SPAN(BODY), true);
	mail(1, "no@x", "b@y c@y", SPAN(BODY), true);
	mail(2, "a@x", "b@y no@y", SPAN(BODY), false);
	mail(3, "a@x", "no@y b@y", SPAN(BODY), false);
}

static void any_cutting_gives_the_same_transcript(void **state)
{
	eventful();
	chat_run(&chat);
	whole.log_size = chat.log_size;
	memcpy(whole.log, chat.log, chat.log_size + 1);
	assert_said(&whole, "outcome unknown dsn\n  no@y UPSTREAM_REPLY 550 5.1.1|unknown\n  b@y CLOSED");
	assert_said(&whole, "EXCHANGE_CONCURRENCY 432 4.3.2|");
	assert_said(&whole, "SEND_AS_DENIED 550 5.7.60|SMTP; Client does not have permissions to send as this sender\n");
	for (unsigned cut = 1; cut <= CUTTINGS; cut++) {
		chat.cut = cut;
		chat.piece_bytes = cut % 11;
		chat.separate_end = cut & 1;
		chat_run(&chat);
		assert_chat(&chat, whole.log);
	}
}

/* Where replies pile up behind one another, none is taken for the reply to what was not yet said. */
static void pipelined_replies_pile_up(void **state)
{
	static const char *const replies = "250 2.1.0 ok\r\n250 ok\r\n550 5.1.1 no\r\n354 go\r\n";

	for (unsigned cut = 0; cut < 500; cut++) {
		memset(&chat, 0, sizeof chat);
		chat.settings = (struct smtp_client_settings){ SPAN("gw"), SPAN("up"), 25, SMTP_CLIENT_CLEAR, SASL_MECHANISM_COUNT };
		chat.rules[0] = (struct chat_rule){ "greeting", "220 up\r\n" };
		chat.rules[1] = (struct chat_rule){ "EHLO", "250-up\r\n250 PIPELINING\r\n" };
		chat.rules[2] = (struct chat_rule){ "MAIL", "" };
		chat.rules[3] = (struct chat_rule){ "RCPT", "" };
		chat.rules[4] = (struct chat_rule){ "DATA", replies };
		chat.rules[5] = (struct chat_rule){ ".", "250 done\r\n" };
		chat.rules[6] = (struct chat_rule){ "QUIT", "221 bye\r\n" };
		chat.rules[7] = (struct chat_rule){ "x", "" };
		mail(0, "a@x", "b@y c@y", SPAN("x\r\n"), false);
		chat.cut = cut;
		chat_run(&chat);
		/* the server went into DATA only for a reply that begins with 354, so the body comes as commands here */
		assert_said(&chat, "C: DATA\nC: x\nC: .\noutcome reusable\n  b@y OK 250 |done\n  c@y UPSTREAM_REPLY 550 5.1.1|no\n");
	}
}

/* T-SMUGGLE 12: the eleven endings of smtpsmug and their relatives, in the middle of a body and at its end, by DATA and
 * by BDAT, in pieces of any size: what is not CR LF does not leave. */
static void t_smuggle_12_outbound(void **state)
{
	static const struct span endings[] = {
		SPAN("\n.\n"), SPAN("\r.\r"), SPAN("\r.\n"), SPAN("\n.\r"), SPAN("\n.\r\n"), SPAN("\r\n.\n"), SPAN("\r.\r\n"),
		SPAN("\r\n.\r"), SPAN("\r\n\0.\r\n\n"), SPAN("\r\n.\0\r\n\r"), SPAN("\r\r\n.\r\r\n"), SPAN("\n"), SPAN("\r"),
		SPAN("\n\r"), SPAN("\n\n"), SPAN("\r\n\r"),
	};
	static const char after[] = "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\n";
	static char body[512];

	for (size_t i = 0; i < 8 * (sizeof endings / sizeof *endings); i++) {
		struct span ending = endings[i / 8];
		bool at_end = i & 1, chunked = i & 2;
		int size = snprintf(body, sizeof body, "Subject: x\r\n\r\nhello");

		memcpy(body + size, ending.at, ending.size);
		size += (int)ending.size;
		if (!at_end)
			size += snprintf(body + size, sizeof body - (size_t)size, "%s", after);
		eventful();
		chat.rules[12].times = 0;
		if (!chunked)
			chat.rules[2].says = "250-up\r\n250-8BITMIME\r\n250 AUTH XOAUTH2\r\n";
		memset(chat.mails, 0, sizeof chat.mails);
		mail(0, "a@x", "b@y", (struct span){ body, (size_t)size }, true);
		chat.piece_bytes = i & 4 ? 1 : 0;
		chat_run(&chat);
		assert_said(&chat, "  b@y BARE_NEWLINE 0 5.5.2|bare CR or LF in the stream\nclose\n");
		assert_unsaid(&chat, "victim");
		assert_unsaid(&chat, "bytes)"); /* the message was never ended */
		for (size_t j = 0; j < chat.body_size; j++)
			if (chat.body[j] == '\n')
				assert_true(j && chat.body[j - 1] == '\r');
	}
}

/* What the server unstuffs is what was stored, or nothing was sent. */
static void t_smuggle_13_round_trip(void **state)
{
	static const char alphabet[] = "\r\n\r\n\r\n...a\0z";
	static char body[64], plain[256];
	unsigned seed = 7;

	for (unsigned round = 0; round < 4000; round++) {
		size_t size = 0, plain_size = 0;
		bool clean = true;

		while (size < round % 40) {
			seed = seed * 1103515245u + 12345u;
			body[size++] = alphabet[(seed >> 16) % (sizeof alphabet - 1)];
			if (round % 2 && body[size - 1] == '\r' && size < sizeof body)
				body[size++] = '\n';
		}
		for (size_t i = 0; i < size; i++)
			clean = clean && (body[i] != '\r' || (i + 1 < size && body[i + 1] == '\n')) &&
				(body[i] != '\n' || (i && body[i - 1] == '\r'));
		eventful();
		chat.rules[12].times = 0;
		chat.rules[2].says = "250-up\r\n250 AUTH XOAUTH2\r\n";
		memset(chat.mails, 0, sizeof chat.mails);
		mail(0, "a@x", "b@y", (struct span){ body, size }, false);
		chat.piece_bytes = round % 5;
		chat_run(&chat);
		if (!clean) {
			assert_said(&chat, "b@y BARE_NEWLINE");
			continue;
		}
		assert_said(&chat, "b@y OK 250");
		for (size_t i = 0; i < chat.body_size; i++) /* RFC 5321 4.5.2 */
			if (chat.body[i] != '.' || (i && chat.body[i - 1] != '\n'))
				plain[plain_size++] = chat.body[i];
			else if (i + 1 < chat.body_size && chat.body[i + 1] == '.')
				plain[plain_size++] = chat.body[i++];
		if (size && (size < 2 || body[size - 1] != '\n'))
			plain_size -= 2; /* the line end that DATA needs */
		assert_int_equal(plain_size, size);
		assert_memory_equal(plain, body, size);
	}
}

TESTS(any_cutting_gives_the_same_transcript, pipelined_replies_pile_up, t_smuggle_12_outbound, t_smuggle_13_round_trip)
