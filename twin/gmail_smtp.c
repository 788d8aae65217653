#include "twin/gmail_smtp.h"

#include "twin/google_token.h"

enum { PASSWORD_BYTES = 256 };

static const enum twin_reply words[TWIN_REPLY_COUNT] = {
#define TWIN_GOOGLE(reply, google) [TWIN_REPLY_##reply] = TWIN_REPLY_##google,
#include "tables/twin_google.def"
#undef TWIN_GOOGLE
};

enum twin_reply gmail_smtp_reply(enum twin_reply reply)
{
	return words[reply] ? words[reply] : reply;
}

/* Without its blanks, which people copy along. */
static struct span compact(struct span password, char memory[PASSWORD_BYTES])
{
	size_t size = 0;

	for (size_t i = 0; i < password.size && size < PASSWORD_BYTES; i++)
		if (password.at[i] != ' ')
			memory[size++] = password.at[i];
	return (struct span){ memory, size };
}

enum twin_reply gmail_smtp_judge_password(struct twin_tenant *t, struct span user, struct span password, struct twin_user **user_out)
{
	char given[PASSWORD_BYTES], kept[PASSWORD_BYTES];
	struct twin_user *u = twin_tenant_user(t, user);
	enum twin_reply reply = TWIN_REPLY_google_bad_credentials;

	*user_out = u;
	if (!u || u->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_DISABLED)
		return reply;
	if (u->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_LOCKED)
		return TWIN_REPLY_google_browser;
	/* App passwords are there only while the second factor is. */
	if (u->app_password[0] && u->values[TWIN_MAILBOX_mfa] != TWIN_MFA_DISABLED &&
	    secret_equal(compact(span_of(u->app_password), kept), compact(password, given)))
		reply = TWIN_REPLY_auth_accepted;
	else if (secret_equal(span_of(u->password), password) && twin_tenant_needs_factor(t, u))
		reply = TWIN_REPLY_google_app_password;
	secret_wipe(given, sizeof given);
	secret_wipe(kept, sizeof kept);
	return reply;
}

bool gmail_smtp_read_bearer(struct span text, struct span *user_out, struct span *token_out)
{
	static const struct span user = { "a=", 2 }, bearer = { "auth=Bearer ", 12 };
	struct span pair, part, rest = text;

	*user_out = *token_out = SPAN("");
	if (!span_cut(&rest, '\1', &part) || !span_starts(part, SPAN("n,")))
		return false;
	for (struct span head = part; span_cut(&head, ',', &pair);)
		if (span_starts(pair, user))
			*user_out = span_slice(pair, user.size, pair.size);
	while (span_cut(&rest, '\1', &pair) && pair.size)
		if (span_starts_fold(pair, bearer))
			*token_out = span_slice(pair, bearer.size, pair.size);
	return rest.at && !rest.size && user_out->size && token_out->size;
}

enum twin_reply gmail_smtp_judge_token(struct twin_tenant *t, const struct twin_keys *keys, struct span user, struct span token, int64_t wall_ms,
				       struct twin_user **user_out)
{
	struct twin_user *u = twin_tenant_user(t, user);
	struct google_access access;

	*user_out = u;
	if (!u || google_access_read(&access, keys, token, wall_ms) != FAULT_OK || !span_equal(span_of(access.oid), span_of(u->oid)) ||
	    u->values[TWIN_MAILBOX_account] != TWIN_ACCOUNT_ENABLED ||
	    !(twin_scope_has(span_of(access.scope), SPAN(GOOGLE_SCOPE_MAIL)) || twin_scope_has(span_of(access.scope), SPAN(GOOGLE_SCOPE_MODIFY))))
		return TWIN_REPLY_google_bad_credentials;
	return TWIN_REPLY_auth_accepted;
}

enum twin_reply gmail_smtp_judge_message(const struct twin_tenant *t, const struct exchange_counter *c, int64_t wall_ms)
{
	int64_t day = t->values[TWIN_SWITCH_google_messages_per_day];

	return day && exchange_messages_of_day(c, wall_ms) >= (uint64_t)day ? TWIN_REPLY_google_daily : TWIN_REPLY_message_accepted;
}
