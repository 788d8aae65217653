/* Sessions of SMTP in: the dialogue, its limits, and the clients that do not quite keep to it. */
#include "tests/smtp_chat.h"

#define GREETING "220 mx.test ESMTP Postern\r\n"

static struct chat chat;

static void begin(void)
{
	chat = (struct chat){ 0 };
}

/* Opens a trusted session, says the lines, and compares all that followed the EHLO. */
static void expect_trusted(const char *script, const char *wanted)
{
	begin();
	chat_open_trusted(&chat);
	chat_say(&chat, span_of(script));
	assert_string_equal(chat_text(&chat), wanted);
}

static void whole_message(void **state)
{
	begin();
	chat.limits.trusted = true;
	chat_open(&chat);
	assert_string_equal(chat_text(&chat), GREETING);
	chat_say(&chat, SPAN("EHLO c.test\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@y.test>\r\nDATA\r\n"
			     "Subject: hi\r\n\r\n..stuffed\r\n.\r\nQUIT\r\n"));
	assert_string_equal(
		chat_text(&chat),
		"250-mx.test\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
		"250-BINARYMIME\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n"
		"? from <a@x.test>\n250 2.1.0 sender ok\r\n? to <b@y.test>\n250 2.1.5 recipient ok\r\n"
		"354 send the message, end it with <CRLF>.<CRLF>\r\n[Subject: hi\r\n\r\n.stuffed\r\n]\n"
		"? end ESMTP\n250 2.0.0 m1 accepted by sink.test: ok\r\n221 2.0.0 bye\r\nclose\n");
}

static void two_messages(void **state)
{
	expect_trusted(
		"MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@y>\r\nDATA\r\nx\r\n.\r\n",
		"? from <a@x>\n250 2.1.0 sender ok\r\n? to <b@y>\n250 2.1.5 recipient ok\r\n"
		"354 send the message, end it with <CRLF>.<CRLF>\r\n? end ESMTP\n250 2.0.0 m1 accepted by sink.test: "
		"ok\r\n"
		"? from <>\n250 2.1.0 sender ok\r\n? to <c@y>\n250 2.1.5 recipient ok\r\n"
		"354 send the message, end it with <CRLF>.<CRLF>\r\n[x\r\n]\n? end ESMTP\n"
		"250 2.0.0 m1 accepted by sink.test: ok\r\n");
}

static void capabilities_by_listener(void **state)
{
	begin();
	chat.limits = (struct smtp_server_limits){ .tls = SMTP_SERVER_TLS_AVAILABLE,
						   .mechanisms = SASL_ALL,
						   .size_bytes = 1000 };
	chat_open(&chat);
	chat_text(&chat);
	chat_say(&chat, SPAN("EHLO c\r\n"));
	assert_string_equal(
		chat_text(&chat),
		"250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
		"250-CHUNKING\r\n250-BINARYMIME\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n");
	chat_say(&chat, SPAN("STARTTLS\r\n\fEHLO c\r\n"));
	assert_string_equal(
		chat_text(&chat),
		"220 2.0.0 ready to start TLS\r\n? tls\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n"
		"250-AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n"
		"250-BINARYMIME\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n250 HELP\r\n");
}

/* facts that HELO-only, lower-case and bracketless clients exist: all of these are served */
static void clumsy_clients(void **state)
{
	static const char *const spellings[][2] = {
		{ "mail from:<a@x>\r\n", "? from <a@x>\n250 2.1.0 sender ok\r\n" },
		{ "Mail From: <a@x>\r\n", "? from <a@x>\n250 2.1.0 sender ok\r\n" },
		{ "MAIL FROM:a@x\r\n", "? from <a@x>\n250 2.1.0 sender ok\r\n" },
		{ "MAIL FROM: a@x SIZE=10\r\n", "? from <a@x> SIZE=10\n250 2.1.0 sender ok\r\n" },
		{ "MAIL FROM:<a@x>  \r\n", "? from <a@x>\n250 2.1.0 sender ok\r\n" },
		{ "MAIL  FROM:<a@x> size=10 body=8bitmime\r\n",
		  "? from <a@x> 8BITMIME SIZE=10\n250 2.1.0 sender ok\r\n" },
		{ "rset \r\n", "250 2.0.0 forgotten\r\n" },
		{ "NOOP ping\r\n", "250 2.0.0 here\r\n" },
		{ "helo again\r\n", "250 mx.test\r\n" },
	};

	for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++)
		expect_trusted(spellings[i][0], spellings[i][1]);
}

static void helo_only(void **state)
{
	begin();
	chat.limits.trusted = true;
	chat_open(&chat);
	chat_text(&chat);
	chat_say(&chat,
		 SPAN("helo hp_laserjet 4\r\nmail from:<a@x>\r\nrcpt to: b@y\r\ndata\r\n\r\nhi\r\n.\r\nquit\r\n"));
	assert_string_equal(chat_text(&chat),
			    "250 mx.test\r\n? from <a@x>\n250 2.1.0 sender ok\r\n? to <b@y>\n250 2.1.5 recipient ok\r\n"
			    "354 send the message, end it with <CRLF>.<CRLF>\r\n[\r\nhi\r\n]\n? end SMTP\n"
			    "250 2.0.0 m1 accepted by sink.test: ok\r\n221 2.0.0 bye\r\nclose\n");
	assert_span(smtp_server_helo(&chat.server), "hp_laserjet 4");
}

/* A second EHLO begins anew (RFC 5321 4.1.4), but whoever signed in stays so. */
static void second_ehlo(void **state)
{
	expect_trusted(
		"MAIL FROM:<a@x>\r\nHELO c\r\nRCPT TO:<b@y>\r\n",
		"? from <a@x>\n250 2.1.0 sender ok\r\ndrop\n250 mx.test\r\n503 5.5.1 command not allowed now\r\n");
}

static void other_verbs(void **state)
{
	expect_trusted("VRFY root\r\nEXPN all\r\nHELP\r\nNOOP\r\nETRN x\r\nXCLIENT ADDR=192.0.2.1\r\n\r\n",
		       "252 2.5.0 send a message and see\r\n502 5.5.1 command not offered\r\n"
		       "214-2.0.0 EHLO name\r\n214-2.0.0 HELO name\r\n214-2.0.0 STARTTLS\r\n"
		       "214-2.0.0 AUTH mechanism [response]\r\n214-2.0.0 MAIL FROM:<address> [parameters]\r\n"
		       "214-2.0.0 RCPT TO:<address> [parameters]\r\n214-2.0.0 DATA\r\n214-2.0.0 BDAT size [LAST]\r\n"
		       "214-2.0.0 RSET\r\n214-2.0.0 VRFY name\r\n214-2.0.0 HELP\r\n214-2.0.0 NOOP\r\n214 2.0.0 QUIT\r\n"
		       "250 2.0.0 here\r\n500 5.5.1 command not understood\r\n500 5.5.1 command not understood\r\n"
		       "500 5.5.1 command not understood\r\n");
}

/* Each verb where its row does not allow it. */
static void out_of_order(void **state)
{
	begin();
	chat.limits.trusted = true;
	chat_open(&chat);
	chat_text(&chat);
	chat_say(&chat, SPAN("MAIL FROM:<a@x>\r\nRCPT TO:<a@x>\r\nDATA\r\nSTARTTLS\r\nAUTH PLAIN\r\nEHLO\r\n"));
	assert_string_equal(chat_text(&chat),
			    "503 5.5.1 command not allowed now\r\n503 5.5.1 command not allowed now\r\n"
			    "503 5.5.1 command not allowed now\r\n503 5.5.1 command not allowed now\r\n"
			    "503 5.5.1 command not allowed now\r\n501 5.5.4 argument not understood\r\n");
	expect_trusted(
		"MAIL FROM:<a@x>\r\nMAIL FROM:<c@x>\r\nAUTH PLAIN\r\nDATA\r\nRSET\r\nDATA\r\nDATA x\r\n",
		"? from <a@x>\n250 2.1.0 sender ok\r\n503 5.5.1 command not allowed now\r\n503 5.5.1 command not "
		"allowed now\r\n"
		"554 5.5.1 no valid recipients\r\ndrop\n250 2.0.0 forgotten\r\n503 5.5.1 command not allowed now\r\n"
		"503 5.5.1 command not allowed now\r\n");
}

static void arguments(void **state)
{
	static const char *const pairs[][2] = {
		{ "MAIL TO:<a@x>\r\n", "501 5.5.4 argument not understood\r\n" },
		{ "MAIL\r\n", "501 5.5.4 argument not understood\r\n" },
		{ "MAIL FROM:\r\n", "501 5.1.3 bad address syntax\r\n" },
		{ "MAIL FROM:<a@x>SIZE=1\r\n", "501 5.1.3 bad address syntax\r\n" },
		{ "MAIL FROM:<a@x> XYZZY=1\r\n", "555 5.5.4 parameter not supported\r\n" },
		{ "MAIL FROM:<a@x> SIZE=1 SIZE=1\r\n", "501 5.5.4 argument not understood\r\n" },
		{ "MAIL FROM:<\xc3\xa9@x>\r\n", "553 5.6.7 an address outside of ASCII needs SMTPUTF8\r\n" },
		{ "MAIL FROM:<\xc3\xa9@x> SMTPUTF8\r\n", "? from <\xc3\xa9@x> SMTPUTF8\n250 2.1.0 sender ok\r\n" },
		{ "MAIL FROM:<a@x> BODY=BINARYMIME ENVID=QQ+2B3\r\n",
		  "? from <a@x> BINARYMIME ENVID=QQ+2B3\n250 2.1.0 sender ok\r\n" },
		{ "RSET x\r\n", "501 5.5.4 argument not understood\r\n" },
		{ "VRFY\r\n", "501 5.5.4 argument not understood\r\n" },
		{ "QUIT now\r\n", "501 5.5.4 argument not understood\r\n" },
		{ "EHLO a\x01"
		  "b\r\n",
		  "501 5.5.4 argument not understood\r\n" },
		{ "HELO\r\n", "501 5.5.4 argument not understood\r\n" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
		expect_trusted(pairs[i][0], pairs[i][1]);
}

/* Whatever could end a line, a field or a terminal's patience is refused where it comes in, and never said back. */
static void t_smuggle_15_command_injection(void **state)
{
	static const struct span lines[] = {
		SPAN("EHLO a\rb\r\n"),
		SPAN("EHLO a\0b\r\n"),
		SPAN("EHLO a\x1b[2J\r\n"),
		SPAN("HELO \xff\r\n"),
		SPAN("MAIL FROM:<a\rb@x>\r\n"),
		SPAN("MAIL FROM:<a\nb@x>\r\n"),
		SPAN("MAIL FROM:<a\0@x>\r\n"),
		SPAN("MAIL FROM:<\"a\x07\"@x>\r\n"),
		SPAN("MAIL FROM:<a@x> ENVID=a+0D+0ARCPT\r\n"),
		SPAN("MAIL FROM:<a@x> AUTH=a+0D+0Ab\r\n"),
		SPAN("MAIL FROM:<a@x> SIZE=1\x0b\r\n"),
		SPAN("MAIL FROM:<a@x\x7f>\r\n"),
		SPAN("MAIL FROM:<a@x>\tSIZE=1\r\n"),
		SPAN("VRFY a\x1b\n\r\n"),
		SPAN("\x1b[2J\r\n"),
	};

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		begin();
		chat_open_trusted(&chat);
		chat_say(&chat, lines[i]);
		const char *text = chat_text(&chat);

		assert_int_equal(text[0], '5');
		for (const char *at = text; *at; at++)
			assert_true((*at >= 0x20 && *at < 0x7f) || *at == '\r' || *at == '\n');
	}
	begin();
	chat_open_message(&chat);
	chat_say(&chat, SPAN("RCPT TO:<c@y> ORCPT=rfc822;c+0D+0A\r\nRCPT TO:<c@y\x01>\r\n"));
	assert_string_equal(chat_text(&chat), "501 5.5.4 argument not understood\r\n501 5.1.3 bad address syntax\r\n");
}

static void recipients_one_by_one(void **state)
{
	expect_trusted(
		"MAIL FROM:<a@x>\r\nRCPT TO:<no1@y>\r\nRCPT TO:<b@y> NOTIFY=NEVER ORCPT=rfc822;c@y\r\nRCPT "
		"TO:<\xc3\xa9@y>\r\n"
		"RCPT TO:<Postmaster>\r\nRCPT TO:<>\r\nRCPT TO:<@r:u@y>\r\n",
		"? from <a@x>\n250 2.1.0 sender ok\r\n? to <no1@y>\n550 5.7.1 relaying denied; Only clients with a "
		"password or a "
		"trusted network may send.\r\n? to <b@y> NOTIFY=1 ORCPT=rfc822;c@y\n250 2.1.5 recipient ok\r\n"
		"553 5.6.7 an address outside of ASCII needs SMTPUTF8\r\n? to <Postmaster>\n250 2.1.5 recipient ok\r\n"
		"501 5.1.3 bad address syntax\r\n? to <u@y>\n250 2.1.5 recipient ok\r\n");
}

/* Bad input: 1,000 recipients are taken, the next is put off, and the message goes to those that were. */
static void bad_input_1000_recipients(void **state)
{
	char line[64];

	begin();
	chat_open_trusted(&chat);
	chat_say(&chat, SPAN("MAIL FROM:<a@x>\r\n"));
	for (unsigned i = 0; i < 1000; i++) {
		chat_text(&chat);
		snprintf(line, sizeof line, "RCPT TO:<r%u@y>\r\n", i);
		chat_say(&chat, span_of(line));
		assert_non_null(strstr(chat_text(&chat), "250 2.1.5"));
	}
	for (unsigned i = 0; i < 30; i++) { /* refused, but no error that counts */
		chat_say(&chat, SPAN("RCPT TO:<late@y>\r\n"));
		assert_string_equal(chat_text(&chat),
				    "452 4.5.3 too many recipients; Send the rest in another message.\r\n");
	}
	chat_say(&chat, SPAN("DATA\r\n.\r\n"));
	assert_non_null(strstr(chat_text(&chat), "250 2.0.0 m1"));
}

static void bad_input_oversize_line(void **state)
{
	char line[SMTP_SERVER_COMMAND_BYTES + 2];

	for (size_t over = 0; over < 2; over++) {
		size_t size = SMTP_SERVER_COMMAND_BYTES + over;

		begin();
		chat_open_trusted(&chat);
		memset(line, 'x', size);
		memcpy(line, "NOOP ", 5);
		memcpy(line + size - 2, "\r\n", 2);
		chat_say(&chat, (struct span){ line, size });
		assert_string_equal(chat_text(&chat), over ? "500 5.5.2 line too long\r\n" : "250 2.0.0 here\r\n");
		chat_say(&chat, SPAN("NOOP\r\n"));
		assert_string_equal(chat_text(&chat), "250 2.0.0 here\r\n");
	}
}

/* A line without an end is not read for ever. */
static void bad_input_endless_line(void **state)
{
	char x[1000];

	begin();
	chat_open_trusted(&chat);
	memset(x, 'x', sizeof x);
	for (size_t i = 0; i < 70 && !chat.closed; i++)
		chat_say(&chat, (struct span){ x, sizeof x });
	assert_string_equal(chat_text(&chat), "500 5.5.2 line too long\r\nclose\n");
}

static void bad_input_binary_garbage(void **state)
{
	char garbage[4096];
	uint32_t seed = 7;

	for (size_t i = 0; i < sizeof garbage; i++) {
		seed = seed * 1103515245u + 12345u;
		garbage[i] = (char)(seed >> 16);
	}
	garbage[0] = 'x';
	begin();
	chat_open_trusted(&chat);
	for (size_t i = 0; i < 20 && !chat.closed; i++)
		chat_say(&chat, (struct span){ garbage, sizeof garbage });
	assert_true(chat.closed);
	assert_non_null(strstr(chat_text(&chat), "421 4.7.0 too many errors\r\nclose\n"));
}

static void too_many_errors(void **state)
{
	begin();
	chat.limits.errors = 3;
	chat_open_trusted(&chat);
	chat_say(&chat, SPAN("MAIL FROM:<a@x>\r\nX\r\nX\r\nX\r\nNOOP\r\n"));
	assert_string_equal(chat_text(&chat),
			    "? from <a@x>\n250 2.1.0 sender ok\r\n500 5.5.1 command not understood\r\n"
			    "500 5.5.1 command not understood\r\n421 4.7.0 too many errors\r\ndrop\nclose\n");
	assert_int_equal(smtp_server_offence(&chat.server), FAULT_BAD_COMMAND);
	begin(); /* a message taken is credit for a client that is merely odd */
	chat.limits.errors = 3;
	chat_open_trusted(&chat);
	for (size_t i = 0; i < 10; i++)
		chat_say(&chat, SPAN("X\r\nX\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n.\r\n"));
	assert_false(chat.closed);
}

static void t_starttls_10_other_protocols(void **state)
{
	static const char *const pairs[][2] = {
		{ "\x16\x03\x01\x02\x01", "554 5.5.1 TLS began on a port that starts in plain text; Choose STARTTLS "
					  "for this port, or SSL/TLS with port 465.\r\nclose\n" },
		{ "POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@x>\r\n",
		  "554 5.5.1 this port speaks mail, not HTTP; Use the port of the console in the browser.\r\nclose\n" },
		{ "GET /\r\n",
		  "554 5.5.1 this port speaks mail, not HTTP; Use the port of the console in the browser.\r\nclose\n" },
	};

	for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		begin();
		chat.limits.trusted = true;
		chat_open(&chat);
		chat_text(&chat);
		chat_say(&chat, span_of(pairs[i][0]));
		assert_string_equal(chat_text(&chat), pairs[i][1]);
		assert_true(chat.closed);
	}
}

static void denied_at_the_door(void **state)
{
	begin();
	chat.limits.deny = FAULT_TOO_BUSY;
	chat_open(&chat);
	assert_string_equal(chat_text(&chat), "421 4.3.2 too many connections; Raise `max_sessions`, or find the "
					      "client that opens so many.\r\nclose\n");
	assert_int_equal(smtp_server_feed(&chat.server, SPAN("NOOP\r\n")), 0);
}

static void t_relay_16_nobody_relays(void **state)
{
	begin();
	chat_open(&chat);
	chat_text(&chat);
	chat_say(&chat, SPAN("EHLO c\r\n"));
	chat_text(&chat);
	chat_say(&chat, SPAN("MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n"));
	assert_string_equal(chat_text(&chat),
			    "550 5.7.1 relaying denied; Only clients with a password or a trusted network may send.\r\n"
			    "503 5.5.1 command not allowed now\r\n503 5.5.1 command not allowed now\r\n");
}

static void silent_and_slow_clients(void **state)
{
	begin();
	chat.limits = (struct smtp_server_limits){
		.trusted = true, .greeting_ms = 100, .command_ms = 60, .data_ms = 40, .message_ms = 90
	};
	chat_open(&chat);
	assert_int_equal(smtp_server_deadline(&chat.server), 60);
	smtp_server_tick(&chat.server, 50);
	chat_say(&chat, SPAN("NOOP\r\n"));
	assert_int_equal(smtp_server_deadline(&chat.server), 100); /* small talk does not put off naming a sender */
	chat_say(&chat, SPAN("EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"));
	assert_int_equal(smtp_server_deadline(&chat.server), 110);
	smtp_server_tick(&chat.server, 100);
	chat_say(&chat, SPAN("DATA\r\n"));
	assert_int_equal(smtp_server_deadline(&chat.server), 140);
	for (int64_t now = 110; now < 190; now += 20) { /* bytes now and then put off one deadline, not the other */
		smtp_server_tick(&chat.server, now);
		chat_say(&chat, SPAN("x\r\n"));
	}
	assert_int_equal(smtp_server_deadline(&chat.server), 190);
	chat_text(&chat);
	smtp_server_tick(&chat.server, 190);
	chat_serve(&chat);
	assert_string_equal(chat_text(&chat), "drop\n421 4.4.2 timeout exceeded\r\nclose\n");
	assert_true(smtp_server_deadline(&chat.server) == INT64_MAX);
}

static void half_closed_client(void **state)
{
	begin();
	chat_open_message(&chat);
	smtp_server_ended(&chat.server);
	chat_serve(&chat);
	assert_string_equal(chat_text(&chat), "drop\nclose\n");
	begin();
	chat_open_trusted(&chat);
	smtp_server_ended(&chat.server);
	chat_serve(&chat);
	assert_string_equal(chat_text(&chat), "close\n");
}

/* The verdict still reaches a client that closed its sending side behind the final dot. */
static void half_closed_behind_the_dot(void **state)
{
	struct smtp_server_wish w;

	begin();
	chat_open_message(&chat);
	chat_say(&chat, SPAN("DATA\r\n"));
	smtp_server_feed(&chat.server, SPAN(".\r\n"));
	assert_true(smtp_server_poll(&chat.server, &w));
	assert_int_equal(w.kind, SMTP_SERVER_MESSAGE_END);
	smtp_server_ended(&chat.server);
	assert_false(smtp_server_poll(&chat.server, &w));
	chat_text(&chat);
	smtp_server_answer(&chat.server, &(struct smtp_server_answer){ .text = SPAN("m1 queued: later") });
	chat_serve(&chat);
	assert_string_equal(chat_text(&chat), "250 2.0.0 m1 queued: later\r\nclose\n");
}

static void stopped_between_messages(void **state)
{
	begin();
	chat_open_message(&chat);
	smtp_server_stop(&chat.server, FAULT_SHUTTING_DOWN);
	chat_serve(&chat);
	assert_string_equal(chat_text(&chat), "");
	chat_say(&chat, SPAN("DATA\r\nx\r\n.\r\n"));
	assert_string_equal(chat_text(&chat),
			    "354 send the message, end it with <CRLF>.<CRLF>\r\n[x\r\n]\n? end ESMTP\n"
			    "250 2.0.0 m1 accepted by sink.test: ok\r\n421 4.3.2 closing for a restart\r\nclose\n");
}

TESTS(whole_message, two_messages, capabilities_by_listener, clumsy_clients, helo_only, second_ehlo, other_verbs,
      out_of_order, arguments, t_smuggle_15_command_injection, recipients_one_by_one, bad_input_1000_recipients,
      bad_input_oversize_line, bad_input_endless_line, bad_input_binary_garbage, too_many_errors,
      t_starttls_10_other_protocols, denied_at_the_door, t_relay_16_nobody_relays, silent_and_slow_clients,
      half_closed_client, half_closed_behind_the_dot, stopped_between_messages)
