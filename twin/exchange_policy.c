#include "twin/exchange_policy.h"

#include "twin/twin_shelf.h"

#include <string.h>

enum { MINUTE_MS = 60000, HEADER_BYTES = 65536 };

/* The mailbox's own switch wins; it holds for every mechanism. */
static enum twin_reply judge_smtp_auth(const struct twin_tenant *t, const struct twin_user *u)
{
	if (u->values[TWIN_MAILBOX_smtp_auth] == TWIN_MAILBOX_OFF)
		return TWIN_REPLY_smtp_auth_off_mailbox;
	if (u->values[TWIN_MAILBOX_smtp_auth] == TWIN_FOLLOW && t->values[TWIN_SWITCH_smtp_auth] == TWIN_OFF)
		return TWIN_REPLY_smtp_auth_off_tenant;
	return TWIN_REPLY_auth_accepted;
}

static enum twin_reply judge_account(const struct twin_user *u)
{
	switch (u->values[TWIN_MAILBOX_account]) {
	case TWIN_ACCOUNT_LOCKED: return TWIN_REPLY_account_locked;
	case TWIN_ACCOUNT_PASSWORD_EXPIRED: return TWIN_REPLY_password_expired;
	case TWIN_ACCOUNT_DISABLED: return TWIN_REPLY_bad_password;
	default: return TWIN_REPLY_auth_accepted;
	}
}

static enum twin_reply judge_basic(const struct twin_tenant *t, const struct twin_user *u)
{
	if (t->values[TWIN_SWITCH_basic_auth] == TWIN_RETIRED)
		return TWIN_REPLY_basic_auth_ended;
	if (t->values[TWIN_SWITCH_basic_auth] == TWIN_OFF)
		return TWIN_REPLY_basic_auth_off;
	if (t->values[TWIN_SWITCH_security_defaults] == TWIN_ON)
		return TWIN_REPLY_security_defaults;
	if (t->values[TWIN_SWITCH_conditional_access] != TWIN_ACCESS_OFF || u->values[TWIN_MAILBOX_conditional_access])
		return TWIN_REPLY_criteria;
	return judge_account(u);
}

enum twin_reply exchange_judge_password(struct twin_tenant *t, struct span user, struct span password, struct twin_user **user_out)
{
	struct twin_user *u = twin_tenant_user(t, user);
	enum twin_reply reply;
	bool right;

	*user_out = u;
	if (!u)
		return TWIN_REPLY_bad_password;
	reply = judge_smtp_auth(t, u);
	if (reply == TWIN_REPLY_auth_accepted)
		reply = judge_basic(t, u);
	if (reply != TWIN_REPLY_auth_accepted)
		return reply;
	right = u->app_password[0] && u->values[TWIN_MAILBOX_mfa] != TWIN_MFA_DISABLED && secret_equal(span_of(u->app_password), password);
	/* With the state "enabled" the password goes on working until a second factor is registered. */
	if (!right && u->values[TWIN_MAILBOX_mfa] != TWIN_MFA_ENFORCED)
		right = secret_equal(span_of(u->password), password);
	return right ? TWIN_REPLY_auth_accepted : TWIN_REPLY_bad_password;
}

bool exchange_read_xoauth2(struct span text, struct span *user_out, struct span *token_out)
{
	static const struct span user = { "user=", 5 }, bearer = { "auth=Bearer ", 12 };
	struct span rest = text, first, second, end, last;

	if (!span_cut(&rest, '\1', &first) || !span_cut(&rest, '\1', &second) || !span_cut(&rest, '\1', &end) || end.size ||
	    (rest.at && (!span_cut(&rest, '\1', &last) || last.size || rest.at)))
		return false;
	if (!span_starts(first, user) || !span_starts_fold(second, bearer))
		return false;
	*user_out = span_slice(first, user.size, first.size);
	*token_out = span_slice(second, bearer.size, second.size);
	return user_out->size && token_out->size;
}

enum twin_reply exchange_judge_token(struct twin_tenant *t, const struct twin_keys *keys, struct span user, struct span token, int64_t wall_ms,
				     struct twin_user **user_out, bool *is_application_out)
{
	struct twin_user *u = twin_tenant_user(t, user);
	struct twin_access access;
	enum twin_reply reply;

	*user_out = u;
	*is_application_out = false;
	if (!u)
		return TWIN_REPLY_auth_failed;
	reply = judge_smtp_auth(t, u);
	if (reply != TWIN_REPLY_auth_accepted)
		return reply;
	if (twin_access_read(&access, keys, token, wall_ms) != FAULT_OK || u->values[TWIN_MAILBOX_account] == TWIN_ACCOUNT_DISABLED ||
	    !(span_equal(span_of(access.audience), SPAN("https://outlook.office.com")) ||
	      span_equal(span_of(access.audience), SPAN("https://outlook.office365.com"))))
		return TWIN_REPLY_auth_failed;
	*is_application_out = twin_scope_has(span_of(access.roles), SPAN("SMTP.SendAsApp"));
	return *is_application_out || (span_equal(span_of(access.oid), span_of(u->oid)) && twin_scope_has(span_of(access.scope), SPAN("SMTP.Send")))
		       ? TWIN_REPLY_auth_accepted
		       : TWIN_REPLY_auth_failed;
}

int64_t exchange_rate_at(const struct exchange_counter *c, int64_t limit, int64_t now_ms)
{
	uint64_t wanted = (uint64_t)limit;

	if (!limit || c->messages < wanted)
		return now_ms;
	return c->message_at_ms[(c->messages - wanted) % EXCHANGE_RATE_MAX] + MINUTE_MS;
}

uint64_t exchange_recipients_of_day(const struct exchange_counter *c, int64_t now_ms)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= EXCHANGE_DAY_MINUTES; i++)
		if (c->minutes[i].minute > now_ms / MINUTE_MS - EXCHANGE_DAY_MINUTES)
			sum += c->minutes[i].recipients;
	return sum;
}

uint64_t exchange_messages_of_day(const struct exchange_counter *c, int64_t now_ms)
{
	uint64_t sum = 0;

	for (size_t i = 0; i <= EXCHANGE_DAY_MINUTES; i++)
		if (c->minutes[i].minute > now_ms / MINUTE_MS - EXCHANGE_DAY_MINUTES)
			sum += c->minutes[i].messages;
	return sum;
}

void exchange_count(struct exchange_counter *c, int64_t at_ms, uint64_t recipients)
{
	int64_t minute = at_ms / MINUTE_MS;
	size_t place = (size_t)(minute % (EXCHANGE_DAY_MINUTES + 1));
	uint64_t in_minute = 0;

	c->message_at_ms[c->messages++ % EXCHANGE_RATE_MAX] = at_ms;
	while (in_minute < c->messages && in_minute < EXCHANGE_RATE_MAX &&
	       c->message_at_ms[(c->messages - 1 - in_minute) % EXCHANGE_RATE_MAX] + MINUTE_MS > at_ms)
		in_minute++;
	c->most_in_minute = in_minute > c->most_in_minute ? in_minute : c->most_in_minute;
	if (c->minutes[place].minute != minute) {
		c->minutes[place].minute = minute;
		c->minutes[place].recipients = c->minutes[place].messages = 0;
	}
	c->minutes[place].recipients += recipients;
	c->minutes[place].messages++;
}

bool exchange_next_address(struct span *rest, struct span *address)
{
	size_t from = 0;

	for (size_t i = 0; i <= rest->size && rest->size; i++) {
		char c = i < rest->size ? rest->at[i] : ',';

		if (c == '"') {
			while (++i < rest->size && rest->at[i] != '"')
				i += rest->at[i] == '\\';
			from = i + 1;
			continue;
		}
		if (!strchr(" \t,<>();:", c))
			continue;
		*address = span_slice(*rest, from, i > from ? i - from : 0);
		from = i + 1;
		if (span_find_byte(*address, '@') == address->size)
			continue;
		*rest = span_slice(*rest, from, rest->size);
		return true;
	}
	return false;
}

bool exchange_foreign_from(const struct twin_user *u, struct span mail, struct buf *address_out)
{
	struct span rest, address = { 0 };
	bool foreign = false;
	struct buf value;

	buf_init(&value, HEADER_BYTES);
	twin_mail_header(mail, SPAN("From"), &value);
	rest = buf_span(&value);
	while (!foreign && exchange_next_address(&rest, &address))
		foreign = !twin_user_may_send_as(u, address);
	if (foreign)
		buf_put(address_out, address);
	buf_free(&value);
	return foreign;
}
