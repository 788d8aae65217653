#include "base/text.h"
#include "twin/exchange_parts.h"
#include "twin/exchange_reply.h"
#include "twin/gmail_smtp.h"

#include <stdio.h>
#include <string.h>

void exchange_keep_reason(struct exchange_session *s, const char *text)
{
	struct span reason = exchange_reply_reason(span_of(text));

	snprintf(s->reason, sizeof s->reason, "%.*s", SPAN_ARGS(reason));
}

static void refuse(struct exchange_session *s, enum twin_reply reply)
{
	exchange_hold(s, s->world->tenant->values[TWIN_SWITCH_sign_in_delay_ms]);
	exchange_keep_reason(s, exchange_text(s, reply).at);
	exchange_say(s, reply);
	s->errors++;
}

static void succeed(struct exchange_session *s, struct twin_user *user, bool by_password)
{
	s->user = user;
	s->by_password = by_password;
	s->by_application = false;
	s->reason[0] = 0;
	exchange_say(s, TWIN_REPLY_auth_accepted);
}

static void judge_password(struct exchange_session *s, struct span password)
{
	struct twin_user *user;
	enum twin_reply reply;

	if (exchange_stage(s, TWIN_STAGE_AUTH))
		return;
	reply = (exchange_is_gmail(s) ? gmail_smtp_judge_password : exchange_judge_password)(s->world->tenant, span_of(s->login), password, &user);
	if (reply == TWIN_REPLY_auth_accepted)
		succeed(s, user, true);
	else
		refuse(s, reply);
}

static void judge_token(struct exchange_session *s, struct span text, bool bearer)
{
	struct twin_user *user = NULL;
	struct span name = { 0 }, token = { 0 };
	enum twin_reply reply = TWIN_REPLY_auth_failed;
	bool is_application = false, whole = (bearer ? gmail_smtp_read_bearer : exchange_read_xoauth2)(text, &name, &token);

	if (name.size && name.size < sizeof s->login)
		snprintf(s->login, sizeof s->login, "%.*s", SPAN_ARGS(name));
	if (exchange_stage(s, TWIN_STAGE_AUTH))
		return;
	if (whole)
		reply = exchange_is_gmail(s) ? gmail_smtp_judge_token(s->world->tenant, s->world->keys, name, token, s->wall_ms, &user)
					     : exchange_judge_token(s->world->tenant, s->world->keys, name, token, s->wall_ms, &user, &is_application);
	if (reply == TWIN_REPLY_auth_accepted) {
		succeed(s, user, false);
		s->by_application = is_application;
	} else if (exchange_is_gmail(s) || s->world->tenant->values[TWIN_SWITCH_personality] == TWIN_GOOGLE) {
		s->mode = EXCHANGE_AUTH_END;
		s->by_bearer = bearer;
		exchange_say(s, bearer ? TWIN_REPLY_google_challenge_bearer : TWIN_REPLY_google_challenge);
	} else {
		refuse(s, reply);
	}
}

/* "authorise as", name and password, parted by NUL bytes (RFC 4616). */
static void judge_plain(struct exchange_session *s, struct span text)
{
	struct span authorise, name = { 0 };

	if (!span_cut(&text, 0, &authorise) || !span_cut(&text, 0, &name) || !text.at || !name.size || name.size >= sizeof s->login) {
		exchange_error(s, TWIN_REPLY_auth_malformed);
		return;
	}
	snprintf(s->login, sizeof s->login, "%.*s", SPAN_ARGS(name));
	judge_password(s, text);
}

static void take_response(struct exchange_session *s, struct span text)
{
	enum exchange_mode mode = s->mode;

	s->mode = EXCHANGE_COMMANDS;
	switch (mode) {
	case EXCHANGE_AUTH_USER:
		snprintf(s->login, sizeof s->login, "%.*s", SPAN_ARGS(text));
		s->mode = EXCHANGE_AUTH_PASSWORD;
		exchange_say(s, TWIN_REPLY_auth_password);
		break;
	case EXCHANGE_AUTH_PASSWORD: judge_password(s, text); break;
	case EXCHANGE_AUTH_PLAIN: judge_plain(s, text); break;
	default: judge_token(s, text, mode == EXCHANGE_AUTH_BEARER); break;
	}
}

void exchange_auth_line(struct exchange_session *s, struct span line)
{
	struct buf text;

	/* Google's challenge is answered by an empty line, and by nothing else; that of OAUTHBEARER also by the byte of RFC 7628 3.2.3. */
	if (s->mode == EXCHANGE_AUTH_END) {
		s->mode = EXCHANGE_COMMANDS;
		if (line.size && !(s->by_bearer && span_equal(line, SPAN("AQ=="))))
			exchange_error(s, TWIN_REPLY_auth_malformed);
		else
			refuse(s, TWIN_REPLY_google_bad_credentials);
		return;
	}
	buf_init(&text, EXCHANGE_LINE_BYTES);
	if (span_equal(line, SPAN("*"))) {
		s->mode = EXCHANGE_COMMANDS;
		exchange_error(s, TWIN_REPLY_auth_cancelled);
	} else if (!text_from_base64(&text, line) || (s->mode == EXCHANGE_AUTH_USER && text.size >= sizeof s->login)) {
		s->mode = EXCHANGE_COMMANDS;
		exchange_error(s, TWIN_REPLY_auth_malformed);
	} else {
		take_response(s, buf_span(&text));
	}
	buf_wipe(&text);
}

static const struct {
	struct span name;
	bool everywhere; /* at Exchange Online too */
	enum exchange_mode mode;
	enum twin_reply prompt;
} mechanisms[] = { { SPAN("LOGIN"), true, EXCHANGE_AUTH_USER, TWIN_REPLY_auth_user },
		   { SPAN("XOAUTH2"), true, EXCHANGE_AUTH_TOKEN, TWIN_REPLY_auth_token },
		   { SPAN("PLAIN"), false, EXCHANGE_AUTH_PLAIN, TWIN_REPLY_auth_token },
		   { SPAN("OAUTHBEARER"), false, EXCHANGE_AUTH_BEARER, TWIN_REPLY_auth_token } };

void exchange_auth(struct exchange_session *s, struct span arguments)
{
	struct span mechanism = { 0 }, initial = { 0 };
	size_t at = 0;

	span_cut(&arguments, ' ', &mechanism);
	span_cut(&arguments, ' ', &initial);
	while (at < sizeof mechanisms / sizeof *mechanisms &&
	       !(span_equal_fold(mechanism, mechanisms[at].name) && (mechanisms[at].everywhere || exchange_is_gmail(s))))
		at++;
	if (!s->hello) {
		exchange_error(s, TWIN_REPLY_hello_first);
	} else if (s->user || s->has_sender) {
		exchange_error(s, TWIN_REPLY_out_of_order);
	} else if (!s->tls && exchange_is_gmail(s)) {
		exchange_error(s, TWIN_REPLY_google_starttls_first);
	} else if (s->door == EXCHANGE_MX || !s->tls || at == sizeof mechanisms / sizeof *mechanisms) {
		exchange_error(s, TWIN_REPLY_auth_unknown);
	} else {
		s->mode = mechanisms[at].mode;
		if (initial.size)
			exchange_auth_line(s, span_equal(initial, SPAN("=")) ? SPAN("") : initial);
		else
			exchange_say(s, mechanisms[at].prompt);
	}
}
