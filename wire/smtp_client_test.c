/* The session of the SMTP client up to READY: TLS, sign-in, refusals, against what the providers were seen to say. */
#include "tests/smtp_client_chat.h"

#define M365_GREETING \
	"220 BY1PR10CA0041.outlook.office365.com Microsoft ESMTP MAIL Service ready at Mon, 1 Jun 2015 12:00:00 +0000 " \
	"[08DCE8B62813AB2B]\r\n"
#define M365_HELLO_CLEAR \
	"250-PN4P287CA0064.outlook.office365.com Hello [192.0.2.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-DSN\r\n" \
	"250-ENHANCEDSTATUSCODES\r\n250-STARTTLS\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"
#define M365_HELLO \
	"250-PN4P287CA0064.outlook.office365.com Hello [192.0.2.1]\r\n250-SIZE 157286400\r\n250-PIPELINING\r\n250-DSN\r\n" \
	"250-ENHANCEDSTATUSCODES\r\n250-AUTH LOGIN XOAUTH2\r\n250-8BITMIME\r\n250-BINARYMIME\r\n250-CHUNKING\r\n" \
	"250 SMTPUTF8\r\n"
#define M365_TLS { "STARTTLS", "220 2.0.0 SMTP server ready\r\n" }
#define M365_BYE { "QUIT", "221 2.0.0 Service closing transmission channel\r\n" }
#define GMAIL_HELLO \
	"250-smtp.gmail.com at your service, [192.0.2.1]\r\n250-SIZE 35882577\r\n250-8BITMIME\r\n" \
	"250-AUTH LOGIN PLAIN XOAUTH2 PLAIN-CLIENTTOKEN OAUTHBEARER XOAUTH\r\n250-ENHANCEDSTATUSCODES\r\n" \
	"250-PIPELINING\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n"
#define GMAIL_GREETING "220 smtp.gmail.com ESMTP d2e1a72fcca58-7f0 - gsmtp\r\n"
#define GMAIL_CHALLENGE \
	"334 eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==\r\n"
#define GMAIL_REFUSAL \
	"535-5.7.8 Username and Password not accepted. Learn more at\r\n" \
	"535 5.7.8  https://support.google.com/mail/?p=BadCredentials d2e1a72fcca58 - gsmtp\r\n"

/* Microsoft's own example of a token: base64 of the sign-in is on their page. */
#define USER "test@contoso.onmicrosoft.com"
#define TOKEN "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA"
#define BLOB \
	"dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0Nj" \
	"bFJDM0VvQUEBAQ=="

static struct chat chat;

static void start(enum smtp_client_tls tls, enum sasl_mechanism mechanism)
{
	memset(&chat, 0, sizeof chat);
	chat.settings = (struct smtp_client_settings){ SPAN("gw.example.org"), SPAN("smtp.example.com"), 587, tls, mechanism };
	chat.user = USER;
	chat.secret = TOKEN;
}

static void rules(const struct chat_rule *r)
{
	memset(chat.rules, 0, sizeof chat.rules);
	for (size_t i = 0; r[i].when; i++)
		chat.rules[i] = r[i];
}

/* Every rule list ends so. */
#define RULES(...) rules((const struct chat_rule[]){ __VA_ARGS__, { 0 } })

static void m365_starttls_xoauth2(void **state)
{
	start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
	RULES({ "greeting", M365_GREETING }, { "EHLO", M365_HELLO_CLEAR, 1 }, { "EHLO", M365_HELLO }, M365_TLS,
	      { "AUTH XOAUTH2", "334 \r\n" }, { BLOB, "235 2.7.0 Authentication successful\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw.example.org\nC: STARTTLS\ntls\nC: EHLO gw.example.org\nC: AUTH XOAUTH2\ncredential\n"
			   "C: " BLOB "\nready\nC: QUIT\nclose\n");
}

/* How the peer sees us, from the last EHLO alone; what is longer than any address is none. */
static void seen_as(const char *clear, const char *secured, const char *wanted)
{
	start(SMTP_CLIENT_STARTTLS, SASL_MECHANISM_COUNT);
	RULES({ "greeting", M365_GREETING }, { "EHLO", clear, 1 }, { "EHLO", secured }, M365_TLS, M365_BYE);
	chat_run(&chat);
	assert_string_equal(chat.client.seen_as, wanted);
}

static void the_peer_says_who_it_sees(void **state)
{
	seen_as(M365_HELLO_CLEAR, "250-mx.example Hello [2001:db8::9]\r\n250 SIZE 100\r\n", "2001:db8::9");
	seen_as(M365_HELLO_CLEAR, "250-mx.example Hello\r\n250 SIZE 100\r\n", "");
	seen_as(M365_HELLO_CLEAR, "250 mx.example Hello [192.0.2.7]\r\n", "192.0.2.7");
	seen_as(M365_HELLO_CLEAR, "250-mx.example Hello ]192.0.2.7[\r\n250 SIZE 100 [192.0.2.8]\r\n", "");
	seen_as(M365_HELLO_CLEAR, "250-mx [0123456789012345678901234567890123456789012345678901234567890123]\r\n250 DSN\r\n", "");
	seen_as(M365_HELLO_CLEAR, "250-mx [012345678901234567890123456789012345678901234567890123456789012]\r\n250 DSN\r\n",
		"012345678901234567890123456789012345678901234567890123456789012");
}

static void gmail_implicit_tls(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_XOAUTH2);
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "334 \r\n" },
	      { BLOB, "235 2.7.0 Accepted\r\n" }, { "QUIT", "221 2.0.0 closing connection d2e1a72fcca58 - gsmtp\r\n" });
	chat_run(&chat);
	assert_chat(&chat, "tls\nC: EHLO gw.example.org\nC: AUTH XOAUTH2\ncredential\nC: " BLOB "\nready\nC: QUIT\nclose\n");
}

/* sasl-xoauth2 #110: the code stands alone */
static void t_sasl_334_without_blank(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_XOAUTH2);
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "334\r\n" },
	      { BLOB, "235 2.7.0 Accepted\r\n" }, { "QUIT", "221 2.0.0 bye\r\n" });
	chat_run(&chat);
	assert_said(&chat, "C: " BLOB "\nready\n");
}

static void t_sasl_google_json_empty_line(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_XOAUTH2);
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "334 \r\n" },
	      { BLOB, GMAIL_CHALLENGE }, { "", GMAIL_REFUSAL }, { "QUIT", "221 2.0.0 bye\r\n" });
	chat_run(&chat);
	assert_said(&chat, "C: " BLOB "\nC: \nC: QUIT\nfailed GMAIL_BAD_LOGIN 535 5.7.8|Username and Password not accepted. "
			   "Learn more at https://support.google.com/mail/?p=BadCredentials d2e1a72fcca58 - gsmtp\nclose\n");
}

/* RFC 7628 3.2.3 */
static void t_sasl_oauthbearer_dummy_answer(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_OAUTHBEARER);
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH OAUTHBEARER", "334 \r\n" },
	      { "bixhPXRlc3", "334 eyJzdGF0dXMiOiJpbnZhbGlkX3JlcXVlc3QiLCJzY29wZSI6Imh0dHBzOi8vbWFpbC5nb29nbGUuY29tLyJ9\r\n" },
	      { "AQ==", GMAIL_REFUSAL }, { "QUIT", "221 2.0.0 bye\r\n" });
	chat_run(&chat);
	assert_said(&chat, "C: AQ==\nC: QUIT\nfailed GMAIL_BAD_LOGIN 535 5.7.8|");
}

/* A server that goes on challenging is not one that let us in. */
static void t_sasl_no_false_success(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_XOAUTH2);
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "334 \r\n" },
	      { BLOB, GMAIL_CHALLENGE }, { "", GMAIL_CHALLENGE });
	chat_run(&chat);
	assert_said(&chat, "failed UPSTREAM_BROKEN 334 |");
	assert_unsaid(&chat, "ready");
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "334 \r\n" },
	      { BLOB, GMAIL_CHALLENGE }, { "", "235 2.7.0 Accepted\r\n" });
	chat_run(&chat);
	assert_said(&chat, "failed UPSTREAM_BROKEN 235 2.7.0|Accepted\n");
	assert_unsaid(&chat, "ready");
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "235 2.7.0 Accepted\r\n" });
	chat_run(&chat);
	assert_said(&chat, "failed UPSTREAM_BROKEN 235 2.7.0|Accepted\n");
}

static void t_sasl_login_and_plain(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_LOGIN);
	chat.user = "al";
	chat.secret = "secret";
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH LOGIN", "334 VXNlcm5hbWU6\r\n" },
	      { "YWw=", "334 UGFzc3dvcmQ6\r\n" }, { "c2VjcmV0", "235 2.7.0 Accepted\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_said(&chat, "C: AUTH LOGIN\ncredential\nC: YWw=\ncredential\nC: c2VjcmV0\nready\n");
	chat.settings.mechanism = SASL_PLAIN;
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH PLAIN", "334 \r\n" },
	      { "AGFsAHNlY3JldA==", "235 2.7.0 Accepted\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_said(&chat, "C: AUTH PLAIN\ncredential\nC: AGFsAHNlY3JldA==\nready\n");
	assert_int_equal(chat.secrets_size, 18); /* and was marked quiet */
}

/* 235 after the user name alone: no sign-in took place. */
static void t_sasl_login_cut_short(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_LOGIN);
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH LOGIN", "334 VXNlcm5hbWU6\r\n" },
	      { "dGVz", "235 2.7.0 Accepted\r\n" });
	chat_run(&chat);
	assert_said(&chat, "failed UPSTREAM_BROKEN 235");
}

/* Fake upstream: replies behind the 220 in one segment. */
static void t_starttls_04_response_injection(void **state)
{
	static const char *const injections[] = { "220 go\r\n250-AUTH PLAIN\r\n", "220 go\r\n2", "220 2.0.0 ready\r\n250 ok\r\n" };

	for (size_t i = 0; i < 3; i++) {
		for (unsigned cut = 0; cut < 50; cut++) {
			start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
			chat.cut = cut;
			RULES({ "greeting", M365_GREETING }, { "EHLO", M365_HELLO_CLEAR }, { "STARTTLS", injections[i] });
			chat_run(&chat);
			assert_chat(&chat, "C: EHLO gw.example.org\nC: STARTTLS\nfailed TLS_FAILED 0 4.7.5|smtp.example.com, or "
					   "someone on the way, sent replies in the clear where TLS was to begin\nclose\n");
		}
	}
}

/* Bytes that come while the driver shakes hands, or before implicit TLS. */
static void t_starttls_04_late_injection(void **state)
{
	struct smtp_client_settings settings = { SPAN("gw"), SPAN("up"), 465, SMTP_CLIENT_IMPLICIT, SASL_XOAUTH2 };
	struct smtp_client_wish wish;
	static struct smtp_client c;

	smtp_client_init(&c, &settings, 0);
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_START_TLS);
	assert_int_equal(smtp_client_feed(&c, SPAN("220 hello\r\n")), 11);
	smtp_client_tls_started(&c, FAULT_OK, (struct span){ 0 }); /* too late */
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_FAILED);
	assert_int_equal(wish.outcome->fault, FAULT_TLS_FAILED);
}

static void t_starttls_06_stripped(void **state)
{
	start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
	RULES({ "greeting", M365_GREETING }, { "EHLO", M365_HELLO }, M365_BYE);
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw.example.org\nC: QUIT\nfailed TLS_MISSING 0 4.7.5|smtp.example.com does not offer STARTTLS\n"
			   "close\n");
	RULES({ "greeting", M365_GREETING }, { "EHLO", M365_HELLO_CLEAR }, { "STARTTLS", "454 4.7.0 TLS not available\r\n" });
	chat_run(&chat);
	assert_said(&chat, "C: QUIT\nfailed TLS_FAILED 454 4.7.0|TLS not available\nclose\n");
	assert_unsaid(&chat, "AUTH");
}

/* What was offered in the clear counts for nothing behind TLS (RFC 3207 4.2). */
static void t_starttls_07_state_is_discarded(void **state)
{
	start(SMTP_CLIENT_STARTTLS, SASL_PLAIN);
	RULES({ "greeting", M365_GREETING }, { "EHLO", "250-up\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n", 1 }, M365_TLS,
	      { "EHLO", "250-up\r\n250 SIZE 100\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_said(&chat, "tls\nC: EHLO gw.example.org\nC: QUIT\nfailed UPSTREAM_AUTH 0 5.7.8|smtp.example.com does not offer "
			   "AUTH PLAIN\nclose\n");
}

/* T-STARTTLS 8, seen from here: whatever is wrong with the certificate, no credential is asked for. */
static void t_starttls_08_untrusted(void **state)
{
	start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
	chat.tls_fault = FAULT_TLS_UNTRUSTED;
	RULES({ "greeting", M365_GREETING }, { "EHLO", M365_HELLO_CLEAR }, M365_TLS);
	chat_run(&chat);
	assert_said(&chat, "tls\nfailed TLS_UNTRUSTED 0 4.7.5|the certificate of the host is not to be trusted\nclose\n");
	assert_unsaid(&chat, "credential");
	assert_int_equal(chat.secrets_size, 0);
}

/* T-STARTTLS 10: an HTTP server on our port. */
static void t_starttls_10_other_protocol(void **state)
{
	start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
	RULES({ "greeting", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" });
	chat_run(&chat);
	assert_chat(&chat, "failed UPSTREAM_BROKEN 0 4.5.0|smtp.example.com sent what is no SMTP reply\nclose\n");
}

static const struct {
	const char *reply, *outcome;
	enum outcome_next next;
} refusals[] = {
	{ "535 5.7.3 Authentication unsuccessful [AM0PR02CA0134.eurprd02.prod.outlook.com 2024-07-11T11:46:49.042Z "
	  "08DCA18218166FB4]\r\n",
	  "EXCHANGE_SIGN_IN_REFUSED 535 5.7.3|Authentication unsuccessful [AM0PR02CA0134.eurprd02.prod.outlook.com "
	  "2024-07-11T11:46:49.042Z 08DCA18218166FB4]\n", OUTCOME_HOLD },
	{ "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit "
	  "https://aka.ms/smtp_auth_disabled for more information. [FR3P281CA0113.DEUP281.PROD.OUTLOOK.COM "
	  "2024-05-03T07:54:23.031Z 08DC6AD071D7DE27]\r\n",
	  "SMTP_AUTH_OFF_TENANT 535 5.7.139|Authentication unsuccessful, SmtpClientAuthentication is disabled for the "
	  "Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [FR3P281CA0113.DEUP281.PROD.OUTLOOK.COM "
	  "2024-05-03T07:54:23.031Z 08DC6AD071D7DE27]\n", OUTCOME_HOLD },
	{ "535 5.7.139 Authentication unsuccessful, basic authentication is disabled. "
	  "[FR4P281CA0026.DEUP281.PROD.OUTLOOK.COM]\r\n", "BASIC_AUTH_OFF 535 5.7.139|", OUTCOME_HOLD },
	{ "454 4.7.0 Too many login attempts, please try again later. d2e1a72fcca58 - gsmtp\r\n",
	  "GMAIL_TOO_MANY_LOGINS 454 4.7.0|", OUTCOME_RETRY },
	{ "534 5.7.9 Application-specific password required. Learn more at 5.7.9 "
	  "https://support.google.com/mail/?p=InvalidSecondFactor d2e1a72fcca58 - gsmtp\r\n",
	  "GMAIL_APP_PASSWORD_NEEDED 534 5.7.9|", OUTCOME_HOLD },
	{ "421 4.7.66 TLS 1.0 and 1.1 are not supported. Please upgrade/update your client to support TLS 1.2. Visit "
	  "https://aka.ms/smtp_auth_tls. [LO2P265CA0001.GBRP265.PROD.OUTLOOK.COM]\r\n", "OLD_TLS 421 4.7.66|", OUTCOME_HOLD },
	{ "535 no\r\n", "UPSTREAM_AUTH 535 |no\n", OUTCOME_HOLD },
	{ "538 5.7.11 Encryption required for requested authentication mechanism\r\n", "UPSTREAM_AUTH 538 5.7.11|", OUTCOME_HOLD },
	{ "454 4.7.0 Temporary authentication failure\r\n", "UPSTREAM_BUSY 454 4.7.0|", OUTCOME_RETRY },
	{ "250 sure\r\n", "UPSTREAM_BROKEN 250 |sure\n", OUTCOME_RETRY },
};

static void sign_in_refused(void **state)
{
	for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
		start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
		RULES({ "greeting", M365_GREETING }, { "EHLO", M365_HELLO_CLEAR, 1 }, { "EHLO", M365_HELLO }, M365_TLS,
		      { "AUTH XOAUTH2", "334 \r\n" }, { BLOB, refusals[i].reply }, M365_BYE);
		chat_run(&chat);
		assert_said(&chat, refusals[i].outcome);
		assert_int_equal(outcome_next(&chat.client.failure), refusals[i].next);
		assert_unsaid(&chat, "ready");
	}
}

/* A server that turns the connection away has judged no message: nothing of it is final. */
static void greeting_refused(void **state)
{
	start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
	RULES({ "greeting", "554 up.example.com No SMTP service here\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_chat(&chat, "C: QUIT\nfailed UPSTREAM_BUSY 554 |up.example.com No SMTP service here\nclose\n");
	assert_int_equal(outcome_next(&chat.client.failure), OUTCOME_RETRY);
	RULES({ "greeting", "421 4.3.2 Service not available\r\n\1" });
	chat_run(&chat);
	assert_chat(&chat, "failed UPSTREAM_BUSY 421 4.3.2|Service not available\nclose\n");
	RULES({ "greeting", "\1" });
	chat_run(&chat);
	assert_chat(&chat, "failed CLOSED 0 4.4.2|the connection was closed\nclose\n");
}

static void hello_falls_back(void **state)
{
	start(SMTP_CLIENT_CLEAR, SASL_MECHANISM_COUNT);
	RULES({ "greeting", "220 old\r\n" }, { "EHLO", "500 Command unrecognized\r\n" }, { "HELO", "250 old\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw.example.org\nC: HELO gw.example.org\nready\nC: QUIT\nclose\n");
	/* but never past TLS or the sign-in */
	start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
	RULES({ "greeting", "220 old\r\n" }, { "EHLO", "502 no\r\n" }, { "HELO", "250 old\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_said(&chat, "C: HELO gw.example.org\nC: QUIT\nfailed TLS_MISSING");
}

/* "AUTH=LOGIN" of old servers, names in any case, more extensions than fit the reply's text. */
static void hello_oddities(void **state)
{
	static char hello[16384];
	size_t size = 0;

	for (int i = 0; i < 150; i++)
		size += (size_t)snprintf(hello + size, sizeof hello - size, "250-X-EXTENSION-%d with a long argument behind it\r\n", i);
	snprintf(hello + size, sizeof hello - size, "250 auth=login xoauth2\r\n");
	start(SMTP_CLIENT_CLEAR, SASL_XOAUTH2);
	RULES({ "greeting", "220-many\r\n220 lines\r\n" }, { "EHLO", hello }, { "AUTH XOAUTH2", "334 \r\n" },
	      { BLOB, "235 ok\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_said(&chat, "ready");
}

static void credential_missing(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_XOAUTH2);
	chat.credential_fault = FAULT_VAULT_AWAY;
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "334 \r\n" });
	chat_run(&chat);
	assert_said(&chat, "credential\nfailed VAULT_AWAY 0 4.7.0|temporary authentication failure\nclose\n");
	/* one that cannot be said without breaking the exchange */
	chat.credential_fault = FAULT_OK;
	chat.secret = "a\001b\r\nRSET";
	chat_run(&chat);
	assert_said(&chat, "failed UPSTREAM_AUTH 0 5.7.8|the user name or the secret cannot be said in AUTH XOAUTH2\nclose\n");
}

/* P3: a server that echoes the response does not get it into our logs. */
static void t_log_58_echoed_token(void **state)
{
	start(SMTP_CLIENT_IMPLICIT, SASL_XOAUTH2);
	RULES({ "greeting", GMAIL_GREETING }, { "EHLO", GMAIL_HELLO }, { "AUTH XOAUTH2", "334 \r\n" },
	      { BLOB, "501 5.5.2 Cannot decode " BLOB " at all\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_said(&chat, "|Cannot decode [...] at all\n");
	/* nor keeps the core it: what was written is wiped by the next call */
	assert_null(memmem(&chat.client, sizeof chat.client, TOKEN, 20));
	for (size_t i = 0; i + 20 < strlen(BLOB); i++)
		assert_null(memmem(&chat.client, sizeof chat.client, &BLOB[i], 20));
	assert_non_null(memmem(chat.secrets, chat.secrets_size, BLOB, 20));
}

/* RFC 5321 4.5.3.2: each wait of the session ends. */
static void silence_ends_the_session(void **state)
{
	static const struct {
		const char *when;
		unsigned nth;
	} silent[] = { { "greeting", 0 }, { "EHLO", 1 }, { "STARTTLS", 0 }, { "EHLO", 2 }, { "AUTH", 0 }, { BLOB, 0 } };

	for (size_t i = 0; i < 6; i++) {
		start(SMTP_CLIENT_STARTTLS, SASL_XOAUTH2);
		RULES({ "greeting", M365_GREETING }, { "EHLO", M365_HELLO_CLEAR, 1 }, { "EHLO", M365_HELLO }, M365_TLS,
		      { "AUTH XOAUTH2", "334 \r\n" }, { BLOB, "235 2.7.0 Authentication successful\r\n" });
		for (size_t j = 0; chat.rules[j].when; j++)
			if (!strncmp(chat.rules[j].when, silent[i].when, 4) &&
			    (!silent[i].nth || silent[i].nth == 2 - chat.rules[j].times))
				chat.rules[j].says = "";
		chat.silence_ms = SMTP_CLIENT_COMMAND_MS;
		chat_run(&chat);
		assert_said(&chat, "failed TIMEOUT 0 4.4.2|no answer from smtp.example.com in time\nclose\n");
		chat.silence_ms = SMTP_CLIENT_COMMAND_MS - 1;
		chat_run(&chat);
		assert_said(&chat, "failed CLOSED 0");
	}
}

/* While the driver is asked, or nothing is under way, no deadline runs. */
static void deadlines_are_the_peers(void **state)
{
	struct smtp_client_settings settings = { SPAN("gw"), SPAN("up"), 25, SMTP_CLIENT_CLEAR, SASL_XOAUTH2 };
	struct smtp_client_wish wish;
	static struct smtp_client c;

	smtp_client_init(&c, &settings, 1000);
	assert_int_equal(smtp_client_deadline(&c), 1000 + SMTP_CLIENT_COMMAND_MS);
	assert_int_equal(smtp_client_feed(&c, SPAN("220 hi\r\n")), 8);
	smtp_client_tick(&c, 5000);
	assert_true(smtp_client_poll(&c, &wish)); /* EHLO goes out: the wait begins */
	assert_int_equal(smtp_client_deadline(&c), 5000 + SMTP_CLIENT_COMMAND_MS);
	assert_int_equal(smtp_client_feed(&c, SPAN("250-up\r\n250 AUTH XOAUTH2\r\n")), 26);
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(smtp_client_feed(&c, SPAN("334 \r\n")), 6);
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_CREDENTIAL);
	assert_int_equal(smtp_client_deadline(&c), INT64_MAX);
	smtp_client_tick(&c, INT64_MAX / 2);
	assert_false(smtp_client_poll(&c, &wish));
	assert_int_equal(smtp_client_feed(&c, SPAN("421 bye\r\n")), 0); /* not while a question is out */
	smtp_client_closed(&c, FAULT_CLOSED, (struct span){ 0 }, SPAN("421 4.3.0 bye\r\n"));
	assert_true(smtp_client_poll(&c, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_FAILED);
	assert_string_equal(wish.outcome->text, "bye"); /* the peer's last words, rather than ours */
	smtp_client_fini(&c);
}

/* Names from the configuration cannot break a line. */
static void t_smuggle_15_names(void **state)
{
	start(SMTP_CLIENT_CLEAR, SASL_MECHANISM_COUNT);
	chat.settings.own_name = SPAN("gw\r\nMAIL FROM:<x@y>");
	RULES({ "greeting", "220 up\r\n" }, { "EHLO", "250 up\r\n" }, M365_BYE);
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw??MAIL?FROM:<x@y>\nready\nC: QUIT\nclose\n");
}

static void idle_connection_ends(void **state)
{
	start(SMTP_CLIENT_CLEAR, SASL_MECHANISM_COUNT);
	chat.stays = true;
	RULES({ "greeting", "220 up\r\n" }, { "EHLO", "250 up\r\n" });
	chat_run(&chat);
	assert_chat(&chat, "C: EHLO gw.example.org\nready\n");
	assert_int_equal(smtp_client_deadline(&chat.client), INT64_MAX);
	chat.reply_at = chat.reply_size;
	chat_say(&chat, "421 4.4.2 Idle too long\r\n");
	assert_true(chat_move(&chat));
	struct smtp_client_wish wish;
	assert_true(smtp_client_poll(&chat.client, &wish));
	assert_int_equal(wish.kind, SMTP_CLIENT_CLOSE);
	assert_false(smtp_client_poll(&chat.client, &wish));
	smtp_client_quit(&chat.client); /* too late: nothing */
	assert_false(smtp_client_poll(&chat.client, &wish));
}

TESTS(m365_starttls_xoauth2, the_peer_says_who_it_sees, gmail_implicit_tls, t_sasl_334_without_blank, t_sasl_google_json_empty_line,
      t_sasl_oauthbearer_dummy_answer, t_sasl_no_false_success, t_sasl_login_and_plain, t_sasl_login_cut_short,
      t_starttls_04_response_injection, t_starttls_04_late_injection, t_starttls_06_stripped,
      t_starttls_07_state_is_discarded, t_starttls_08_untrusted, t_starttls_10_other_protocol, sign_in_refused,
      greeting_refused, hello_falls_back, hello_oddities, credential_missing, t_log_58_echoed_token,
      silence_ends_the_session, deadlines_are_the_peers, t_smuggle_15_names, idle_connection_ends)
