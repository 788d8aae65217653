/* Messages over the SMTP client: envelopes, bodies, verdicts, and connections lost at every moment. */
#include "tests/smtp_client_chat.h"

#define ALL "250-up\r\n250-SIZE 1000000\r\n250-PIPELINING\r\n250-DSN\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"
#define PIPELINING "250-up\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
#define PLAIN "250 up\r\n"
#define HELLO(offers) { "greeting", "220 up\r\n" }, { "EHLO", offers }
#define MAIL_OK { "MAIL FROM", "250 2.1.0 Sender OK\r\n" }
#define RCPT_OK { "RCPT TO", "250 2.1.5 Recipient OK\r\n" }
#define DATA_OK { "DATA", "354 Start mail input; end with <CRLF>.<CRLF>\r\n" }
#define DONE { ".", "250 2.0.0 OK <x@y> [Hostname=P212321.PROD.OUTLOOK.COM]\r\n" }
#define RSET_OK { "RSET", "250 2.0.0 Resetting\r\n" }
#define BYE { "QUIT", "221 2.0.0 bye\r\n" }
#define ACCEPTED "OK 250 2.0.0|OK <x@y> [Hostname=P212321.PROD.OUTLOOK.COM]\n"
#define BODY "From: a@x\r\n\r\nhello\r\n"

static struct chat chat;
static struct smtp_client_recipient recipients[CHAT_MESSAGES][SMTP_CLIENT_RECIPIENTS];

static void rules(const struct chat_rule *r)
{
	memset(&chat, 0, sizeof chat);
	chat.settings = (struct smtp_client_settings){ SPAN("gw"), SPAN("up.example"), 25, SMTP_CLIENT_CLEAR,
						       SASL_MECHANISM_COUNT };
	for (size_t i = 0; r[i].when; i++)
		chat.rules[i] = r[i];
}

#define RULES(...) rules((const struct chat_rule[]){ __VA_ARGS__, { 0 } })

/* One more message: recipients parted by blanks. */
static struct smtp_client_message *mail(const char *sender, const char *to, const char *body, bool has_size)
{
	struct span rest = span_of(to), one;
	size_t at = 0, count = 0;

	while (chat.mails[at].message.recipients)
		at++;
	memset(recipients[at], 0, sizeof recipients[at]);
	while (span_cut(&rest, ' ', &one))
		recipients[at][count++].address = one;
	chat.mails[at] = (struct chat_mail){
		.body = span_of(body),
		.message = { .sender = span_of(sender), .recipients = recipients[at], .recipient_count = count,
			     .has_size = has_size, .size_bytes = strlen(body) },
	};
	return &chat.mails[at].message;
}

static void chunked_and_pipelined(void **state)
{
	RULES(HELLO(ALL), MAIL_OK, RCPT_OK, DONE, BYE);
	mail("a@x", "b@y c@y", BODY, true);
	mail("", "d@y", "", true);
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw\nready\nC: MAIL FROM:<a@x> SIZE=20\nC: RCPT TO:<b@y>\nC: RCPT TO:<c@y>\n"
			   "C: BDAT 20 LAST\nC: (20 bytes)\noutcome reusable dsn\n  b@y " ACCEPTED "  c@y " ACCEPTED "ready\n"
			   "C: MAIL FROM:<> SIZE=0\nC: RCPT TO:<d@y>\nC: BDAT 0 LAST\noutcome reusable dsn\n  d@y " ACCEPTED
			   "ready\nC: QUIT\nclose\n");
}

static void pipelined_data(void **state)
{
	RULES(HELLO(PIPELINING), MAIL_OK, RCPT_OK, DATA_OK, DONE, BYE);
	mail("a@x", "b@y", ".\r\n..\r\nno end", true);
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw\nready\nC: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\nC: DATA\nC: (17 bytes)\noutcome reusable\n"
			   "  b@y " ACCEPTED "ready\nC: QUIT\nclose\n");
	assert_span(((struct span){ chat.body, chat.body_size }), "..\r\n...\r\nno end\r\n");
}

/* Without PIPELINING each command waits for its reply: the server here says what it sees in between. */
static void one_by_one(void **state)
{
	static struct smtp_client c;
	struct smtp_client_settings settings = { SPAN("gw"), SPAN("up"), 25, SMTP_CLIENT_CLEAR, SASL_MECHANISM_COUNT };
	struct smtp_client_recipient to[2] = { { .address = SPAN("b@y") }, { .address = SPAN("c@y") } };
	struct smtp_client_message m = { .sender = SPAN("a@x"), .recipients = to, .recipient_count = 2 };
	static const char *const talk[][2] = {
		{ "220 up\r\n", "EHLO gw\r\n" },     { "250 up\r\n", NULL },          { NULL, "MAIL FROM:<a@x>\r\n" },
		{ "250 ok\r\n", "RCPT TO:<b@y>\r\n" }, { "250 ok\r\n", "RCPT TO:<c@y>\r\n" }, { "250 ok\r\n", "DATA\r\n" },
		{ "354 go\r\n", NULL },
	};
	struct smtp_client_wish wish;

	smtp_client_init(&c, &settings, 0);
	for (size_t i = 0; i < sizeof talk / sizeof *talk; i++) {
		if (talk[i][0])
			assert_int_equal(smtp_client_feed(&c, span_of(talk[i][0])), strlen(talk[i][0]));
		else
			smtp_client_message(&c, &m);
		assert_true(smtp_client_poll(&c, &wish));
		if (talk[i][1])
			assert_span(wish.text, talk[i][1]);
		assert_false(smtp_client_poll(&c, &wish));
	}
}

static void mixed_recipients(void **state)
{
	static const char wanted[] = "outcome reusable\n"
				     "  b@y " ACCEPTED "  no@y UPSTREAM_REPLY 550 5.1.1|User unknown\n"
				     "  late@y UPSTREAM_BUSY 450 4.2.1|Try again\n  full@y UPSTREAM_BUSY 552 |Too many recipients\n"
				     "  c@y " ACCEPTED;

	for (unsigned pipelines = 0; pipelines < 2; pipelines++) {
		RULES(HELLO(pipelines ? PIPELINING : PLAIN), MAIL_OK, { "RCPT TO:<no@", "550 5.1.1 User unknown\r\n" },
		      { "RCPT TO:<late@", "450-4.2.1 Try\r\n450 4.2.1 again\r\n" },
		      { "RCPT TO:<full@", "552 Too many recipients\r\n" }, RCPT_OK, DATA_OK, DONE, BYE);
		mail("a@x", "b@y no@y late@y full@y c@y", BODY, true);
		chat_run(&chat);
		assert_said(&chat, wanted);
	}
}

static void all_refused_no_data(void **state)
{
	RULES(HELLO(PLAIN), MAIL_OK, { "RCPT TO", "550 5.1.1 User unknown\r\n" }, RSET_OK, BYE);
	mail("a@x", "b@y c@y", BODY, true);
	chat_run(&chat);
	assert_unsaid(&chat, "DATA");
	assert_said(&chat, "C: RSET\noutcome reusable\n  b@y UPSTREAM_REPLY 550 5.1.1|User unknown\n"
			   "  c@y UPSTREAM_REPLY 550 5.1.1|User unknown\nready\nC: QUIT\n");
	/* with BDAT, all of it stays here too */
	RULES(HELLO(ALL), MAIL_OK, { "RCPT TO", "550 5.1.1 User unknown\r\n" }, RSET_OK, BYE);
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_unsaid(&chat, "BDAT");
	assert_said(&chat, "C: RSET\noutcome reusable dsn\n");
}

/* DATA was on its way already (RFC 2920 3.1): a lone dot, whose reply counts for nothing. */
static void all_refused_behind_data(void **state)
{
	RULES(HELLO(PIPELINING), MAIL_OK, { "RCPT TO", "550 5.1.1 User unknown\r\n" }, DATA_OK, DONE, RSET_OK, BYE);
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "C: DATA\nC: (0 bytes)\nC: RSET\noutcome reusable\n  b@y UPSTREAM_REPLY 550 5.1.1|User unknown\nready\n");
	RULES(HELLO(PIPELINING), MAIL_OK, { "RCPT TO", "550 5.1.1 User unknown\r\n" }, { "DATA", "554 5.5.1 No recipients\r\n" },
	      RSET_OK, BYE);
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "C: DATA\nC: RSET\noutcome reusable\n  b@y UPSTREAM_REPLY 550 5.1.1|User unknown\nready\n");
}

/* The next message goes over the same connection. */
static void sender_refused_then_reused(void **state)
{
	RULES(HELLO(PIPELINING), { "MAIL FROM:<bad@", "550 5.7.60 SMTP; Client does not have permissions to send as this sender\r\n" },
	      MAIL_OK, { "RCPT TO:<b@", "503 5.5.1 Need MAIL\r\n", 1 }, RCPT_OK, { "DATA", "503 5.5.1 Need RCPT\r\n", 1 }, DATA_OK,
	      DONE, RSET_OK, BYE);
	mail("bad@x", "b@y", BODY, true);
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "C: RSET\noutcome reusable\n  b@y SEND_AS_DENIED 550 5.7.60|SMTP; Client does not have permissions to "
			   "send as this sender\nready\nC: MAIL FROM:<a@x>\n");
	assert_said(&chat, "outcome reusable\n  b@y " ACCEPTED);
}

static void not_signed_in(void **state)
{
	RULES(HELLO(PLAIN), { "MAIL FROM", "530 5.7.0 Who are you\r\n" }, RSET_OK, BYE);
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "b@y UPSTREAM_AUTH 530 5.7.0|Who are you\n");
}

/* What Exchange says after DATA only: every accepted recipient gets it. */
static const struct {
	const char *reply, *outcome;
	enum outcome_next next;
} verdicts[] = {
	{ "554 5.2.252 SendAsDenied; a@x not allowed to send as b@y; STOREDRV.Submission.Exception:SendAsDeniedException."
	  "MapiExceptionSendAsDenied; Failed to process message due to a permanent exception with message Cannot submit "
	  "message.\r\n", "SEND_AS_DENIED 554 5.2.252|SendAsDenied; a@x not allowed", OUTCOME_REFUSE },
	{ "432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information. "
	  "[Hostname=OS0PR01MB6099.jpnprd01.prod.outlook.com]\r\n", "EXCHANGE_CONCURRENCY 432 4.3.2|", OUTCOME_RETRY },
	{ "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException\r\n", "EXCHANGE_DAILY_LIMIT 554 5.2.0|",
	  OUTCOME_RETRY },
	{ "554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded\r\n",
	  "MAILBOX_FULL 554 5.2.2|", OUTCOME_HOLD },
	{ "430 4.2.0 STOREDRV; mailbox logon failure; STOREDRV.Submission.Exception:ConnectionFailedTransientException."
	  "MapiExceptionLogonFailed; Cannot open mailbox.\r\n", "MAILBOX_LOGON_FAILED 430 4.2.0|", OUTCOME_HOLD },
	{ "550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\r\n"
	  "550 5.4.5  https://support.google.com/a/answer/166852 d2e1 - gsmtp\r\n",
	  "GMAIL_DAILY_LIMIT 550 5.4.5|Daily user sending limit exceeded. For more information on Gmail "
	  "https://support.google.com/a/answer/166852 d2e1 - gsmtp\n", OUTCOME_RETRY },
	{ "552 5.3.4 Message too big\r\n", " 552 5.3.4|Message too big\n", OUTCOME_REFUSE },
	{ "451 4.3.0 later\r\n", "UPSTREAM_BUSY 451 4.3.0|later\n", OUTCOME_RETRY },
};

static void verdict_after_data(void **state)
{
	for (size_t i = 0; i < 2 * sizeof verdicts / sizeof *verdicts; i++) {
		RULES(HELLO(i & 1 ? ALL : PLAIN), MAIL_OK, { "RCPT TO:<no@", "550 5.1.1 unknown\r\n" }, RCPT_OK, DATA_OK,
		      { ".", verdicts[i / 2].reply }, BYE);
		mail("a@x", "b@y no@y c@y", BODY, true);
		chat_run(&chat);
		assert_said(&chat, verdicts[i / 2].outcome);
		assert_int_equal(outcome_next(&recipients[0][0].outcome), verdicts[i / 2].next);
		assert_int_equal(outcome_next(&recipients[0][2].outcome), verdicts[i / 2].next);
		assert_string_equal(recipients[0][1].outcome.text, "unknown");
		assert_said(&chat, "outcome reusable");
		assert_said(&chat, "ready\nC: QUIT\nclose\n");
	}
}

static void t_421_at_any_time(void **state)
{
	static const char *const moments[] = { "MAIL FROM", "RCPT TO", "DATA", "." };

	for (size_t i = 0; i < 4; i++) {
		RULES({ moments[i], "421 4.3.2 System not accepting network messages\r\n\1" }, HELLO(PLAIN), MAIL_OK, RCPT_OK, DATA_OK);
		mail("a@x", "b@y c@y", BODY, true);
		chat_run(&chat);
		assert_said(&chat, "outcome\n  b@y UPSTREAM_BUSY 421 4.3.2|System not accepting network messages\n"
				   "  c@y UPSTREAM_BUSY 421 4.3.2|System not accepting network messages\nclose\n");
	}
}

/* A connection lost behind the final dot is one thing, before it another. */
static void lost_behind_the_dot(void **state)
{
	for (unsigned chunked = 0; chunked < 2; chunked++) {
		RULES(HELLO(chunked ? ALL : PLAIN), MAIL_OK, { "RCPT TO:<no@", "550 5.1.1 unknown\r\n" }, RCPT_OK, DATA_OK,
		      { ".", "\1" });
		mail("a@x", "b@y no@y", BODY, true);
		chat_run(&chat);
		assert_said(&chat, chunked ? "outcome unknown dsn\n" : "outcome unknown\n");
		assert_said(&chat, "  b@y CLOSED 0 4.4.2|the connection was closed\n  no@y UPSTREAM_REPLY 550 5.1.1|unknown\nclose\n");
		/* nonsense, silence */
		chat.rules[5 + 1].says = "garbage\r\n";
		chat_run(&chat);
		assert_said(&chat, "outcome unknown");
		assert_said(&chat, "  b@y UPSTREAM_BROKEN 0 4.5.0|");
		chat.rules[5 + 1].says = "";
		chat.silence_ms = SMTP_CLIENT_FINAL_MS;
		chat_run(&chat);
		assert_said(&chat, "outcome unknown");
		assert_said(&chat, "  b@y TIMEOUT 0 4.4.2|no answer from up.example in time\n");
	}
}

static void lost_before_the_dot(void **state)
{
	static const char *const moments[] = { "RCPT TO", "DATA" };

	for (size_t i = 0; i < 2; i++) {
		RULES({ moments[i], "\1" }, HELLO(PLAIN), MAIL_OK, RCPT_OK, DATA_OK);
		mail("a@x", "b@y", BODY, true);
		chat_run(&chat);
		assert_said(&chat, "outcome\n  b@y CLOSED 0 4.4.2|the connection was closed\nclose\n");
	}
}

/* A kept connection that had gone stale: not a try that counts. The first message on a connection is one. */
static void stale_connection(void **state)
{
	RULES(HELLO(ALL), { "MAIL FROM", "250 ok\r\n", 1 }, { "MAIL FROM", "\1" }, RCPT_OK, DONE);
	mail("a@x", "b@y", BODY, true);
	mail("a@x", "c@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "outcome untouched dsn\n  c@y CLOSED 0 4.4.2|the connection was closed\nclose\n");
	RULES(HELLO(ALL), { "MAIL FROM", "\1" });
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "outcome dsn\n  b@y CLOSED");
}

static void needs_what_the_peer_lacks(void **state)
{
	struct smtp_client_message *m;

	RULES(HELLO(PLAIN), BYE);
	mail("a@x", "b@y c@y", BODY, true)->body = SMTP_CLIENT_8BIT;
	mail("a@x", "\xc3\xa9@y b@y", BODY, true);
	mail("a@x", "b@y", BODY, true)->utf8 = true;
	m = mail("a@x", "b@y", BODY, true);
	m->body = SMTP_CLIENT_BINARY;
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw\nready\noutcome reusable\n"
			   "  b@y UPSTREAM_LACKS 0 5.6.3|up.example does not offer 8BITMIME, which this message needs\n"
			   "  c@y UPSTREAM_LACKS 0 5.6.3|up.example does not offer 8BITMIME, which this message needs\nready\n"
			   "outcome reusable\n"
			   "  \xc3\xa9@y UPSTREAM_LACKS 0 5.6.3|up.example does not offer SMTPUTF8, which this message needs\n"
			   "  b@y UPSTREAM_LACKS 0 5.6.3|up.example does not offer SMTPUTF8, which this message needs\nready\n"
			   "outcome reusable\n"
			   "  b@y UPSTREAM_LACKS 0 5.6.3|up.example does not offer SMTPUTF8, which this message needs\nready\n"
			   "outcome reusable\n"
			   "  b@y UPSTREAM_LACKS 0 5.6.3|up.example does not offer BINARYMIME, which this message needs\nready\n"
			   "C: QUIT\nclose\n");
}

static void asks_for_what_it_needs(void **state)
{
	struct smtp_client_message *m;

	RULES(HELLO(ALL), MAIL_OK, RCPT_OK, DONE, BYE);
	m = mail("a@x", "b@y c@y d@y", BODY, true);
	m->body = SMTP_CLIENT_8BIT;
	m->returns = DSN_RETURN_FULL;
	m->envelope_id = SPAN("QQ+2B314159");
	m->recipients[0].notify = DSN_SUCCESS | DSN_DELAY;
	m->recipients[0].original = SPAN("rfc822;Bob+40y");
	m->recipients[1].notify = DSN_NEVER;
	m->recipients[2].original = SPAN("rfc822;x y\r\nRSET"); /* left out */
	m = mail("a@x", "\xc3\xa9@y", "\0\n\r", true);
	m->body = SMTP_CLIENT_BINARY;
	m->size_bytes = 3;
	chat.mails[1].body = SPAN("\0\n\r");
	chat_run(&chat);
	assert_said(&chat, "C: MAIL FROM:<a@x> SIZE=20 BODY=8BITMIME RET=FULL ENVID=QQ+2B314159\n"
			   "C: RCPT TO:<b@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+40y\nC: RCPT TO:<c@y> NOTIFY=NEVER\n"
			   "C: RCPT TO:<d@y>\n");
	assert_said(&chat, "C: MAIL FROM:<a@x> SIZE=3 BODY=BINARYMIME SMTPUTF8\nC: RCPT TO:<\xc3\xa9@y>\nC: BDAT 3 LAST\nC: (3 bytes)\n");
	assert_memory_equal(chat.body, "\0\n\r", 3);
	/* and where nothing is offered, nothing is said */
	RULES(HELLO(PLAIN), MAIL_OK, RCPT_OK, DATA_OK, DONE, BYE);
	m = mail("a@x", "b@y", BODY, true);
	m->returns = DSN_RETURN_HEADERS;
	m->envelope_id = SPAN("QQ");
	m->recipients[0].notify = DSN_FAILURE;
	chat_run(&chat);
	assert_said(&chat, "C: MAIL FROM:<a@x>\nC: RCPT TO:<b@y>\n");
}

static void larger_than_the_peer_takes(void **state)
{
	struct smtp_client_message *m;

	RULES(HELLO(ALL), MAIL_OK, RCPT_OK, DONE, BYE);
	m = mail("a@x", "b@y", BODY, true);
	m->size_bytes = 1000001;
	chat_run(&chat);
	assert_said(&chat, "ready\noutcome reusable dsn\n  b@y TOO_LARGE_UPSTREAM 0 5.3.4|up.example takes at most 1000000 bytes, "
			   "the message has 1000001\nready\n");
}

static void thousand_recipients(void **state)
{
	static char to[64000];
	size_t size = 0, count = 0;

	for (int i = 0; i < 1000; i++)
		size += (size_t)snprintf(to + size, sizeof to - size, "%suser%d%s@some-quite-long-domain-name.example", i ? " " : "", i,
					 i % 7 ? "" : "-bad");
	RULES(HELLO(PIPELINING), MAIL_OK, { "RCPT TO:<user7-bad", "421 4.0.0 x\r\n", 0 }, RCPT_OK, DATA_OK, DONE, BYE);
	chat.rules[3].when = "RCPT TO:<user994-bad";
	chat.rules[3].says = "550 5.1.1 no\r\n";
	mail("a@x", to, BODY, true);
	assert_int_equal(chat.mails[0].message.recipient_count, 1000);
	chat_run(&chat);
	for (size_t i = 0; i < 1000; i++)
		count += recipients[0][i].outcome.fault == FAULT_OK;
	assert_int_equal(count, 999);
	assert_int_equal(recipients[0][994].outcome.code, 550);
	assert_said(&chat, "ready\nC: QUIT\nclose\n");
}

/* T-SMUGGLE 15, outbound: no address breaks a line, and the others go on. */
static void t_smuggle_15_addresses(void **state)
{
	static const char *const bad[] = { "b@y>\r\nRSET", "b@y\nX", "b@y\r", "<b@y", "b@y> NOTIFY=NEVER", "b\x01@y", "", "b@\xff",
					   "\"open@y", "\"a\\\r\"@y", "\"a\\" };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		RULES(HELLO(ALL), MAIL_OK, RCPT_OK, DONE, BYE);
		mail("a@x", "b@y c@y", BODY, true);
		recipients[0][0].address = span_of(bad[i]);
		chat_run(&chat);
		assert_said(&chat, "C: MAIL FROM:<a@x> SIZE=20\nC: RCPT TO:<c@y>\nC: BDAT 20 LAST\n");
		assert_int_equal(recipients[0][0].outcome.fault, FAULT_BAD_ADDRESS);
		assert_int_equal(recipients[0][1].outcome.fault, FAULT_OK);
		/* as the sender, it stops the message */
		RULES(HELLO(ALL), MAIL_OK, RCPT_OK, DONE, BYE);
		mail(*bad[i] ? bad[i] : "\r", "b@y", BODY, true);
		chat_run(&chat);
		assert_said(&chat, "ready\noutcome reusable dsn\n  b@y BAD_ADDRESS 0 5.1.3|bad address syntax\nready\n");
	}
	RULES(HELLO(ALL), MAIL_OK, RCPT_OK, DONE, BYE);
	mail("a@x", "b@y", BODY, true);
	recipients[0][0].address = SPAN("\"a b>\\\"\"@y");
	chat_run(&chat);
	assert_said(&chat, "C: RCPT TO:<\"a b>\\\"\"@y>\n");
}

static void bodies_in_pieces(void **state)
{
	static char body[100000], wanted[200000];
	size_t size = 0, wanted_size = 0;

	while (size < sizeof body - 80) {
		int line = snprintf(body + size, 80, "%s%zu\r\n", size % 3 ? "." : "x", size);
		wanted_size += (size_t)snprintf(wanted + wanted_size, 80, "%s%.*s", size % 3 ? "." : "", line, body + size);
		size += (size_t)line;
	}
	for (unsigned i = 0; i < 12; i++) {
		static const size_t pieces[] = { 0, 1, 7, 16384, 16385, 40000 };
		bool chunked = i & 1;

		RULES(HELLO(chunked ? ALL : PLAIN), MAIL_OK, RCPT_OK, DATA_OK, DONE, BYE);
		mail("a@x", "b@y", body, true);
		chat.piece_bytes = pieces[i / 2];
		chat.separate_end = i % 3 == 0;
		chat_run(&chat);
		assert_said(&chat, "outcome reusable");
		assert_span(((struct span){ chat.body, chat.body_size }), chunked ? body : wanted);
	}
}

static void body_cannot_be_read(void **state)
{
	RULES(HELLO(ALL), MAIL_OK, RCPT_OK);
	mail("a@x", "b@y", BODY, true);
	chat.mails[0].no_body = true;
	chat_run(&chat);
	assert_said(&chat, "outcome dsn\n  b@y DISK_FAILED 0 4.3.0|the disk failed\nclose\n");
	assert_unsaid(&chat, "BDAT");
}

/* A body that is not of the size declared would end the chunk inside a message: nothing is believed of it. */
static void body_of_another_size(void **state)
{
	for (int off = -1; off <= 1; off += 2) {
		RULES(HELLO(ALL), MAIL_OK, RCPT_OK, DONE);
		mail("a@x", "b@y", BODY, true)->size_bytes += (uint64_t)off;
		chat.piece_bytes = 8;
		chat_run(&chat);
		assert_said(&chat, "outcome dsn\n  b@y BUG 0 4.3.0|");
		assert_unsaid(&chat, "bytes)");
	}
}

/* A verdict while the body is on its way, then the end of the connection: it is heard. */
static void verdict_during_the_body(void **state)
{
	static struct smtp_client c;
	struct smtp_client_settings settings = { SPAN("gw"), SPAN("up"), 25, SMTP_CLIENT_CLEAR, SASL_MECHANISM_COUNT };
	struct smtp_client_recipient to = { .address = SPAN("b@y") };
	struct smtp_client_message m = { .sender = SPAN("a@x"), .recipients = &to, .recipient_count = 1 };
	static const char *const says[] = { "220 up\r\n", "250 up\r\n", "250 ok\r\n", "250 ok\r\n", "354 go\r\n" };
	struct smtp_client_wish wish;

	smtp_client_init(&c, &settings, 0);
	for (size_t i = 0; i < 5; i++) {
		if (i == 2)
			smtp_client_message(&c, &m);
		while (smtp_client_poll(&c, &wish))
			;
		assert_int_equal(smtp_client_feed(&c, span_of(says[i])), strlen(says[i]));
	}
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_BODY);
	smtp_client_body(&c, SPAN("a line\r\n"), false);
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_WRITE);
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_BODY);
	assert_int_equal(smtp_client_feed(&c, SPAN("552 5.3.4 Too big\r\n")), 0); /* a question is out */
	smtp_client_closed(&c, FAULT_CLOSED, (struct span){ 0 }, SPAN("552 5.3.4 Too big\r\n"));
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_OUTCOME);
	assert_false(wish.reusable || wish.unknown || wish.untouched);
	assert_int_equal(to.outcome.code, 552);
	smtp_client_body(&c, SPAN("late\r\n"), true); /* ignored */
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_CLOSE);
}

/* A success in advance is no verdict on a message that the peer has not seen the end of. */
static void success_before_the_end(void **state)
{
	RULES(HELLO(PLAIN), MAIL_OK, RCPT_OK, { "DATA", "354 go\r\n250 2.0.0 fine, whatever it is\r\n" }, { ".", "451 4.3.0 no\r\n" });
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "C: (");
	assert_said(&chat, "outcome unknown\n  b@y UPSTREAM_BROKEN 250");
}

/* The head of a large chunk went out, its bytes did not: the peer cannot have it. */
static void lost_between_head_and_chunk(void **state)
{
	static struct smtp_client c;
	static char body[SMTP_CLIENT_WINDOW_BYTES];
	struct smtp_client_settings settings = { SPAN("gw"), SPAN("up"), 25, SMTP_CLIENT_CLEAR, SASL_MECHANISM_COUNT };
	struct smtp_client_wish wish;

	memset(body, 'x', sizeof body);
	for (int round = 0; round < 3; round++) {
		bool written = round == 1;
		struct smtp_client_recipient to = { .address = SPAN("b@y") };
		struct smtp_client_message m = { .sender = SPAN("a@x"), .recipients = &to, .recipient_count = 1, .has_size = true,
						 .size_bytes = sizeof body };
		static const char *const says[] = { "220 up\r\n", "250-up\r\n250 CHUNKING\r\n", "250 ok\r\n", "250 ok\r\n" };

		smtp_client_init(&c, &settings, 0);
		for (size_t i = 0; i < 4; i++) {
			if (i == 2)
				smtp_client_message(&c, &m);
			while (smtp_client_poll(&c, &wish))
				;
			assert_int_equal(smtp_client_feed(&c, span_of(says[i])), strlen(says[i]));
		}
		assert_true(smtp_client_poll(&c, &wish));
		assert_int_equal(wish.kind, SMTP_CLIENT_BODY);
		smtp_client_body(&c, (struct span){ body, sizeof body }, true);
		assert_true(smtp_client_poll(&c, &wish));
		assert_span(wish.text, "BDAT 16384 LAST\r\n");
		if (written) {
			assert_true(smtp_client_poll(&c, &wish));
			assert_ptr_equal(wish.text.at, body);
		}
		/* in the last round the peer claims to have it all the same */
		smtp_client_closed(&c, FAULT_CLOSED, (struct span){ 0 }, span_of(round == 2 ? "250 2.0.0 OK\r\n" : ""));
		assert_true(smtp_client_poll(&c, &wish));
		assert_int_equal(wish.kind, SMTP_CLIENT_OUTCOME);
		assert_int_equal(wish.unknown, written);
		assert_int_equal(to.outcome.fault, round == 2 ? FAULT_UPSTREAM_BROKEN : FAULT_CLOSED);
	}
}

/* RSET refused: the outcome stands, the connection goes. */
static void reset_refused(void **state)
{
	RULES(HELLO(PLAIN), { "MAIL FROM", "550 5.7.1 no\r\n" }, { "RSET", "502 what\r\n" }, BYE);
	mail("a@x", "b@y", BODY, true);
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw\nready\nC: MAIL FROM:<a@x>\nC: RSET\noutcome reusable\n  b@y UPSTREAM_REPLY 550 5.7.1|no\n"
			   "C: QUIT\nclose\n");
}

/* RFC 5321 4.5.3.2: each wait of a message ends. */
static void silence_ends_the_message(void **state)
{
	static const struct {
		const char *when;
		int64_t wait_ms;
	} silent[] = { { "MAIL FROM", 300000 }, { "RCPT TO", 300000 }, { "DATA", 120000 }, { ".", 600000 } };

	for (size_t i = 0; i < 4; i++) {
		RULES({ silent[i].when, "" }, HELLO(PLAIN), MAIL_OK, RCPT_OK, DATA_OK);
		mail("a@x", "b@y", BODY, true);
		chat.silence_ms = silent[i].wait_ms;
		chat_run(&chat);
		assert_said(&chat, "b@y TIMEOUT 0 4.4.2|no answer from up.example in time\nclose\n");
		chat.silence_ms = silent[i].wait_ms - 1;
		chat_run(&chat);
		assert_said(&chat, "b@y CLOSED");
	}
}

static void nonsense_in_the_envelope(void **state)
{
	static const char *const nonsense[] = { "354 go\r\n", "hello\r\n", "999 x\r\n", "25\r\n", "\r\n" };

	for (size_t i = 0; i < 5; i++) {
		RULES(HELLO(PLAIN), MAIL_OK, { "RCPT TO", nonsense[i] });
		mail("a@x", "b@y", BODY, true);
		chat_run(&chat);
		assert_said(&chat, "outcome\n  b@y UPSTREAM_BROKEN");
	}
	/* one reply too many */
	RULES(HELLO(PLAIN), { "MAIL FROM", "250 ok\r\n250 ok\r\n" }, { "RCPT TO", "" }, { "DATA", "250 what\r\n" });
	mail("a@x", "b@y", BODY, true);
	chat_run(&chat);
	assert_said(&chat, "C: DATA\noutcome\n  b@y UPSTREAM_BROKEN 250");
}

TESTS(chunked_and_pipelined, pipelined_data, one_by_one, mixed_recipients, all_refused_no_data, all_refused_behind_data,
      sender_refused_then_reused, not_signed_in, verdict_after_data, t_421_at_any_time, lost_behind_the_dot,
      lost_before_the_dot, stale_connection, needs_what_the_peer_lacks, asks_for_what_it_needs,
      larger_than_the_peer_takes, thousand_recipients, t_smuggle_15_addresses, bodies_in_pieces, body_cannot_be_read,
      body_of_another_size, verdict_during_the_body, success_before_the_end, lost_between_head_and_chunk, reset_refused, silence_ends_the_message, nonsense_in_the_envelope)
