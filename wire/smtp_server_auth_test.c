/* AUTH and STARTTLS: every exchange that clients use, and what must never begin, leak or survive. */
#include "tests/smtp_chat.h"

#include "base/text.h"

#define CHALLENGE "334 \r\n"
#define TAKEN "235 2.7.0 authentication successful\r\n"
#define MALFORMED "501 5.5.2 cannot decode the response\r\n"
#define CANCELLED "501 5.7.0 authentication cancelled\r\n"
#define BAD_LOGIN                                                                                                      \
	"535 5.7.8 authentication credentials invalid; Check the user name and the client password; `postern client "  \
	"refused` "                                                                                                    \
	"says more.\r\n"
#define TLS_NEEDED "530 5.7.0 must issue a STARTTLS command first; Switch on STARTTLS or SSL/TLS in the client.\r\n"
#define AUTH_NEEDED                                                                                                    \
	"530 5.7.0 authentication required; Give the client a client password, or its address to a trusted "           \
	"network.\r\n"
#define OUT_OF_ORDER "503 5.5.1 command not allowed now\r\n"
#define INJECTED                                                                                                       \
	"554 5.5.1 commands were sent before TLS began; Someone between the client and here may be "                   \
	"meddling.\r\nclose\n"

static struct chat chat;

/* A session inside TLS that must sign in, past its EHLO. */
static void open_session(void)
{
	chat = (struct chat){ .limits = { .tls = SMTP_SERVER_TLS_IMPLICIT, .mechanisms = SASL_ALL } };
	chat_open(&chat);
	chat_say(&chat, SPAN("EHLO c.test\r\n"));
	chat_text(&chat);
}

static void expect(const char *script, const char *wanted)
{
	open_session();
	chat_say(&chat, span_of(script));
	assert_string_equal(chat_text(&chat), wanted);
}

/* A session in the clear on a listener of that kind. */
static void open_clear(enum smtp_server_tls tls)
{
	chat = (struct chat){ .limits = { .tls = tls, .mechanisms = SASL_ALL } };
	chat_open(&chat);
	chat_say(&chat, SPAN("EHLO c.test\r\n"));
	chat_text(&chat);
}

static void plain_all_ways(void **state)
{
	expect("AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n", "? PLAIN tim secret\n" TAKEN);
	expect("auth plain AHRpbQBzZWNyZXQ\r\n", "? PLAIN tim secret\n" TAKEN);
	expect("AUTH PLAIN\r\nAHRpbQBzZWNyZXQ=\r\n", CHALLENGE "? PLAIN tim secret\n" TAKEN);
	expect("AUTH PLAIN dGltAHRpbQBzZWNyZXQ=\r\n", "? PLAIN tim secret\n" TAKEN);
	expect("AUTH PLAIN AHRpbQB3cm9uZw==\r\n", "? PLAIN tim wrong\n" BAD_LOGIN);
	expect("AUTH PLAIN Ym9zcwB0aW0Ac2VjcmV0\r\n", BAD_LOGIN); /* as another */
}

static void login_all_ways(void **state)
{
	expect("AUTH LOGIN\r\ndGlt\r\nc2VjcmV0\r\n",
	       "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n? LOGIN tim secret\n" TAKEN);
	expect("AUTH LOGIN dGlt\r\nc2VjcmV0\r\n", "334 UGFzc3dvcmQ6\r\n? LOGIN tim secret\n" TAKEN);
	expect("AUTH LOGIN\r\ndGlt\r\nd3Jvbmc\r\n",
	       "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n? LOGIN tim wrong\n" BAD_LOGIN);
}

static void bearer_all_ways(void **state)
{
	/* user=tim ^A auth=Bearer secret ^A^A, and n,a=tim,^A ... */
	expect("AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgc2VjcmV0AQE=\r\n", "? XOAUTH2 tim secret\n" TAKEN);
	expect("AUTH XOAUTH2\r\ndXNlcj10aW0BYXV0aD1CZWFyZXIgc2VjcmV0AQE=\r\n",
	       CHALLENGE "? XOAUTH2 tim secret\n" TAKEN);
	expect("AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgd3JvbmcBAQ==\r\n", "? XOAUTH2 tim wrong\n" BAD_LOGIN);
	expect("AUTH OAUTHBEARER bixhPXRpbSwBYXV0aD1CZWFyZXIgc2VjcmV0AQE=\r\n", "? OAUTHBEARER tim secret\n" TAKEN);
	/* RFC 7628 3.2.2: the failure comes as a challenge first, whatever the client then says */
	expect("AUTH OAUTHBEARER bixhPXRpbSwBYXV0aD1CZWFyZXIgd3JvbmcBAQ==\r\nAQ==\r\nNOOP\r\n",
	       "? OAUTHBEARER tim wrong\n334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=\r\n" BAD_LOGIN "250 2.0.0 here\r\n");
	expect("AUTH OAUTHBEARER bixhPXRpbSwBYXV0aD1CZWFyZXIgd3JvbmcBAQ==\r\n\r\n",
	       "? OAUTHBEARER tim wrong\n334 eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=\r\n" BAD_LOGIN);
}

static void vault_away_is_temporary(void **state)
{
	expect("AUTH PLAIN AGF3YXkAc2VjcmV0\r\n", "? PLAIN away secret\n454 4.7.0 temporary authentication failure; "
						  "The vault is restarting; see the log.\r\n");
	expect("AUTH OAUTHBEARER bixhPWF3YXksAWF1dGg9QmVhcmVyIHNlY3JldAEB\r\n",
	       "? OAUTHBEARER away secret\n454 4.7.0 temporary authentication failure; The vault is restarting; see "
	       "the log.\r\n");
}

/* RFC 4954 4 */
static void order_of_auth(void **state)
{
	expect("AUTH PLAIN AHRpbQBzZWNyZXQ=\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\n",
	       "? PLAIN tim secret\n" TAKEN OUT_OF_ORDER);
	expect("AUTH PLAIN AHRpbQBzZWNyZXQ=\r\nMAIL FROM:<a@x>\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\n",
	       "? PLAIN tim secret\n" TAKEN "? from <a@x>\n250 2.1.0 sender ok\r\n" OUT_OF_ORDER);
	expect("MAIL FROM:<a@x>\r\n", AUTH_NEEDED);
	expect("AUTH PLAIN AHRpbQBzZWNyZXQ=\r\nHELO c\r\nMAIL FROM:<a@x>\r\n",
	       "? PLAIN tim secret\n" TAKEN "250 mx.test\r\n? from <a@x>\n250 2.1.0 sender ok\r\n");
}

static void t_sasl_23_malformed_exchanges(void **state)
{
	expect("AUTH\r\n", "501 5.5.4 argument not understood\r\n");
	expect("AUTH CRAM-MD5\r\n", "504 5.5.4 unrecognized authentication type\r\n");
	expect("AUTH PLAIN =\r\n", MALFORMED);
	expect("AUTH LOGIN =\r\n", MALFORMED);
	expect("AUTH PLAIN *\r\n", CANCELLED);
	expect("AUTH PLAIN\r\n*\r\nNOOP\r\n", CHALLENGE CANCELLED "250 2.0.0 here\r\n");
	expect("AUTH LOGIN\r\ndGlt\r\n*\r\n", "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n" CANCELLED);
	expect("AUTH PLAIN\r\n=\r\n", CHALLENGE MALFORMED); /* only an initial response may be = */
	expect("AUTH PLAIN\r\n\r\n", CHALLENGE MALFORMED);
	expect("AUTH PLAIN AHRpbQBz ZWNyZXQ=\r\n", MALFORMED);
	expect("AUTH PLAIN AHRpbQBzZWNyZXQ=x\r\n", MALFORMED);
	expect("AUTH XOAUTH2 dXNlcj10aW0BYXV0aD1CZWFyZXIgc2VjcmV0AQ==\r\n", MALFORMED);
	expect("AUTH PLAIN\r\nAHRp\nbQBzZWNyZXQ=\r\n",
	       CHALLENGE "554 5.5.2 bare CR or LF in the stream; The client must end lines with CR LF.\r\n"
			 "500 5.5.1 command not understood\r\n");
	open_session();
	chat_say(&chat, SPAN("AUTH PLAIN\r\nAHRp\0bQ\r\n"));
	assert_string_equal(chat_text(&chat), CHALLENGE "554 5.5.2 a NUL byte where text was due\r\n");
}

/* RFC 4954 4: 12,288 octets of base64 are a response, one more is not; and the session goes on. */
static void t_sasl_23_longest_response(void **state)
{
	struct buf raw, line;

	buf_init(&raw, 10000);
	buf_init(&line, 20000);
	buf_put(&raw, SPAN("\0tim\0"));
	while (raw.size < SASL_LINE_BYTES / 4 * 3)
		buf_put_byte(&raw, 'x');
	assert_true(text_base64(&line, buf_span(&raw)));
	open_session();
	chat_say(&chat, SPAN("AUTH PLAIN\r\n"));
	chat_say(&chat, buf_span(&line));
	chat_say(&chat, SPAN("\r\n"));
	assert_non_null(strstr(chat_text(&chat), "? PLAIN tim xxxx"));
	chat_say(&chat, SPAN("AUTH PLAIN\r\n"));
	chat_say(&chat, buf_span(&line));
	chat_say(&chat, SPAN("A\r\nNOOP\r\n"));
	assert_string_equal(chat_text(&chat), CHALLENGE "500 5.5.6 authentication line too long\r\n250 2.0.0 here\r\n");
	buf_free(&raw);
	buf_free(&line);
}

static void t_sasl_23_twenty_failures(void **state)
{
	open_session();
	for (size_t i = 0; i < 19; i++) {
		chat_say(&chat, SPAN("AUTH PLAIN AHRpbQB3cm9uZw==\r\n"));
		assert_string_equal(chat_text(&chat), "? PLAIN tim wrong\n" BAD_LOGIN);
	}
	chat_say(&chat, SPAN("AUTH PLAIN AHRpbQB3cm9uZw==\r\n"));
	assert_string_equal(chat_text(&chat), "? PLAIN tim wrong\n421 4.7.0 too many errors\r\nclose\n");
}

static void t_sasl_24_never_in_clear(void **state)
{
	open_clear(SMTP_SERVER_TLS_REQUIRED);
	chat_say(&chat, SPAN("EHLO c\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\nMAIL FROM:<a@x>\r\n"));
	assert_null(strstr(chat.text, "AUTH PLAIN"));
	assert_non_null(strstr(chat_text(&chat), "250 HELP\r\n" TLS_NEEDED TLS_NEEDED));
	open_clear(SMTP_SERVER_TLS_AVAILABLE);
	chat_say(&chat, SPAN("AUTH PLAIN AHRpbQBzZWNyZXQ=\r\nAUTH LOGIN\r\n"));
	assert_string_equal(chat_text(&chat), TLS_NEEDED TLS_NEEDED);
	open_clear(SMTP_SERVER_TLS_NONE);
	chat_say(&chat, SPAN("AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n"));
	assert_string_equal(chat_text(&chat), "502 5.5.1 command not offered\r\n");
}

static void clear_where_the_listener_says_so(void **state)
{
	chat = (struct chat){ .limits = { .mechanisms = 1u << SASL_LOGIN, .auth_in_clear = true } };
	chat_open(&chat);
	chat_text(&chat);
	chat_say(&chat, SPAN("EHLO c\r\nAUTH LOGIN dGlt\r\nc2VjcmV0\r\nAUTH PLAIN\r\n"));
	assert_non_null(strstr(chat.text, "250-AUTH LOGIN\r\n"));
	assert_non_null(strstr(chat_text(&chat), "? LOGIN tim secret\n" TAKEN OUT_OF_ORDER));
}

/* After a failed OAUTHBEARER the server does not begin to offer more. */
static void t_sasl_24_no_downgrade(void **state)
{
	chat = (struct chat){ .limits = { .tls = SMTP_SERVER_TLS_IMPLICIT, .mechanisms = 1u << SASL_OAUTHBEARER } };
	chat_open(&chat);
	chat_say(&chat, SPAN("EHLO c\r\nAUTH OAUTHBEARER bixhPXRpbSwBYXV0aD1CZWFyZXIgd3JvbmcBAQ==\r\nAQ==\r\n"));
	chat_text(&chat);
	chat_say(&chat, SPAN("EHLO c\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\n"));
	assert_non_null(strstr(chat.text, "250-AUTH OAUTHBEARER\r\n"));
	assert_non_null(strstr(chat_text(&chat), "504 5.5.4 unrecognized authentication type\r\n"));
}

/* --- STARTTLS */

static void t_starttls_02_same_segment(void **state)
{
	static const char *const injections[] = {
		"NOOP\r\n", "MAIL FROM:<a@x>\r\n", "AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n", "\r\n", "x", "\x16\x03\x01"
	};
	char segment[100];

	for (size_t i = 0; i < sizeof injections / sizeof *injections; i++) {
		snprintf(segment, sizeof segment, "STARTTLS\r\n%s", injections[i]);
		open_clear(SMTP_SERVER_TLS_REQUIRED);
		chat_say(&chat, span_of(segment));
		assert_string_equal(chat_text(&chat), INJECTED);
		assert_int_equal(smtp_server_feed(&chat.server, SPAN("NOOP\r\n")), 0);
	}
}

/* What the driver had read by the time it was told to begin. */
static void t_starttls_03_before_the_handshake(void **state)
{
	struct smtp_server_wish w;

	for (size_t polls = 0; polls < 3; polls++) {
		open_clear(SMTP_SERVER_TLS_AVAILABLE);
		assert_int_equal(smtp_server_feed(&chat.server, SPAN("STARTTLS\r\n")), 10);
		for (size_t i = 0; i < polls; i++)
			assert_true(smtp_server_poll(&chat.server, &w));
		if (polls == 2)
			assert_int_equal(w.kind, SMTP_SERVER_START_TLS);
		assert_int_equal(smtp_server_feed(&chat.server, SPAN("NOOP\r\n")), 0);
		chat_serve(&chat);
		assert_string_equal(chat_text(&chat), INJECTED);
	}
}

static void t_starttls_06_refused_before_tls(void **state)
{
	open_clear(SMTP_SERVER_TLS_REQUIRED);
	chat_say(&chat, SPAN("MAIL FROM:<a@x>\r\nVRFY a\r\nNOOP\r\nRSET\r\nBDAT 6 LAST\r\nQUIT\r\nHELP\r\nEHLO "
			     "c\r\nSTARTTLS\r\n\fSTARTTLS\r\n"));
	const char *text = chat_text(&chat);

	assert_memory_equal(
		text, TLS_NEEDED TLS_NEEDED "250 2.0.0 here\r\n250 2.0.0 forgotten\r\n" TLS_NEEDED "214-",
		strlen(TLS_NEEDED TLS_NEEDED "250 2.0.0 here\r\n250 2.0.0 forgotten\r\n" TLS_NEEDED "214-"));
	assert_non_null(strstr(text, "? tls\n" OUT_OF_ORDER));
}

/* RFC 3207 4.2: name, sender, recipients and login are forgotten. */
static void t_starttls_07_state_discarded(void **state)
{
	chat = (struct chat){
		.limits = { .tls = SMTP_SERVER_TLS_AVAILABLE, .mechanisms = SASL_ALL, .auth_in_clear = true }
	};
	chat_open(&chat);
	chat_say(&chat, SPAN("EHLO c\r\nAUTH PLAIN AHRpbQBzZWNyZXQ=\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"));
	chat_text(&chat);
	chat_say(&chat, SPAN("STARTTLS\r\n\f"));
	assert_string_equal(chat_text(&chat), "220 2.0.0 ready to start TLS\r\n? tls\ndrop\n");
	assert_int_equal(smtp_server_helo(&chat.server).size, 0);
	chat_say(&chat, SPAN("RCPT TO:<c@y>\r\nDATA\r\nMAIL FROM:<a@x>\r\nEHLO c\r\n"));
	assert_non_null(strstr(chat.text, "250-AUTH PLAIN"));
	assert_null(strstr(chat.text, "STARTTLS"));
	assert_memory_equal(chat_text(&chat), OUT_OF_ORDER OUT_OF_ORDER OUT_OF_ORDER "250-mx.test",
			    3 * strlen(OUT_OF_ORDER) + 11);
	chat_say(&chat, SPAN("MAIL FROM:<a@x>\r\n"));
	assert_string_equal(chat_text(&chat), AUTH_NEEDED);
}

static void starttls_where_there_is_none(void **state)
{
	expect("STARTTLS\r\n", OUT_OF_ORDER); /* inside TLS */
	open_clear(SMTP_SERVER_TLS_NONE);
	chat_say(&chat, SPAN("STARTTLS\r\nSTARTTLS now\r\n"));
	assert_string_equal(chat_text(&chat), "502 5.5.1 command not offered\r\n501 5.5.4 argument not understood\r\n");
}

static void protocol_names(void **state)
{
	open_session();
	assert_span(smtp_server_protocol(&chat.server), "ESMTPS");
	chat_say(&chat, SPAN("AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n"));
	assert_span(smtp_server_protocol(&chat.server), "ESMTPSA");
	chat_say(&chat, SPAN("MAIL FROM:<a@x> SMTPUTF8\r\n"));
	assert_span(smtp_server_protocol(&chat.server), "UTF8SMTPSA");
}

/* --- what a transcript may show */

/* T-LOG 58's sources in this file: inline responses, continuation lines, and a password that comes too late. */
static void t_log_58_transcript_is_redacted(void **state)
{
	open_session();
	chat.heard_out = true;
	chat_say(&chat, SPAN("NOOP\r\nauth plain AHRpbQB3cm9uZw==\r\nAUTH "
			     "LOGIN\r\ndGlt\r\nd3Jvbmc=\r\nd3Jvbmc=\r\nNOOP\nd3Jvbmc=\r\n"));
	const char *text = chat_text(&chat);

	assert_null(strstr(text, "C: AHRp"));
	assert_null(strstr(text, "d3Jvbmc"));
	assert_non_null(strstr(text, "C: NOOP\n250"));
	assert_non_null(strstr(text, "C: AUTH ***\n"));
	assert_non_null(strstr(text, "C: (response)\n334 UGFzc3dvcmQ6\r\nC: (response)\n? LOGIN tim wrong\n"));
	assert_non_null(strstr(text, "C: (not understood)\n500"));
	assert_non_null(strstr(text, "C: (refused)\n554"));
}

/* T-TIMING 59: the session keeps nothing of a password, however the exchange ended. */
static void secrets_are_wiped(void **state)
{
	static const char *const scripts[] = {
		"AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n",    "AUTH PLAIN AHRpbQB3cm9uZw==\r\n",
		"AUTH LOGIN dGlt\r\nc2VjcmV0\r\n",    "AUTH PLAIN\r\nAHRpbQBzZWNyZXQ=x\r\n",
		"AUTH CRAM-MD5 AHRpbQBzZWNyZXQ=\r\n", "AHRpbQBzZWNyZXQ=\r\n",
	};
	static const struct span traces[] = { SPAN("secret"), SPAN("wrong"), SPAN("AHRpbQBz"), SPAN("c2Vjcm"),
					      SPAN("AHRpbQB3") };

	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		open_session();
		chat_say(&chat, span_of(scripts[i]));
		for (size_t j = 0; j < sizeof traces / sizeof *traces; j++)
			assert_true(!memmem(&chat.server, sizeof chat.server, traces[j].at, traces[j].size) &&
				    !memmem(&chat.room, sizeof chat.room, traces[j].at, traces[j].size));
	}
}

TESTS(plain_all_ways, login_all_ways, bearer_all_ways, vault_away_is_temporary, order_of_auth,
      t_sasl_23_malformed_exchanges, t_sasl_23_longest_response, t_sasl_23_twenty_failures, t_sasl_24_never_in_clear,
      clear_where_the_listener_says_so, t_sasl_24_no_downgrade, t_starttls_02_same_segment,
      t_starttls_03_before_the_handshake, t_starttls_06_refused_before_tls, t_starttls_07_state_discarded,
      starttls_where_there_is_none, protocol_names, t_log_58_transcript_is_redacted, secrets_are_wiped)
