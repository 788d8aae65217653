#include "wire/import_msmtp.h"

enum key { HOST, PORT, FROM, USER, PASSWORD, PASSWORD_COMMAND, AUTH, TLS, TLS_STARTTLS, KEY_COUNT };

static const char *const keys[KEY_COUNT] = { "host", "port", "from", "user", "password", "passwordeval", "auth", "tls", "tls_starttls" };

struct msmtp_account {
	struct span name;
	struct span values[KEY_COUNT];
};

struct msmtp {
	struct import *into;
	struct msmtp_account defaults, *current;
	size_t count;
	struct msmtp_account accounts[IMPORT_MSMTP_ACCOUNTS_MAX];
};

static struct msmtp_account *find(struct msmtp *m, struct span name)
{
	for (size_t i = 0; i < m->count; i++)
		if (span_equal(m->accounts[i].name, name))
			return &m->accounts[i];
	return NULL;
}

/* "account NAME", "account NAME : BASE, BASE"; "account default : NAME" is no other account. */
static bool begin_account(struct msmtp *m, struct span value)
{
	size_t colon = span_find_byte(value, ':');
	struct span name = span_trim(span_slice(value, 0, colon)), bases = span_slice(value, colon + 1, value.size), base;
	struct msmtp_account *a = m->count < IMPORT_MSMTP_ACCOUNTS_MAX ? &m->accounts[m->count] : NULL;

	if (!a) {
		import_fail(m->into, FAULT_TOO_LARGE, "over %d accounts", IMPORT_MSMTP_ACCOUNTS_MAX);
		return false;
	}
	if (!name.size || find(m, name))
		return false;
	*a = m->defaults;
	a->name = name;
	while (colon < value.size && span_cut(&bases, ',', &base)) {
		const struct msmtp_account *from = find(m, span_trim(base));

		for (size_t k = 0; from && k < KEY_COUNT; k++)
			if (from->values[k].size)
				a->values[k] = from->values[k];
		if (!from)
			return false;
	}
	m->count++;
	m->current = a;
	return true;
}

/* A value in double quotes is what stands between them. */
static struct span unquoted(struct span value)
{
	if (value.size >= 2 && *value.at == '"' && value.at[value.size - 1] == '"')
		return span_slice(value, 1, value.size - 2);
	return value;
}

static bool take_line(struct msmtp *m, struct span line)
{
	size_t end = 0;
	struct span key, value;

	while (end < line.size && line.at[end] != ' ' && line.at[end] != '\t')
		end++;
	key = span_slice(line, 0, end);
	value = unquoted(span_trim(span_slice(line, end, line.size)));
	if (span_equal(key, SPAN("account")))
		return begin_account(m, value);
	if (span_equal(key, SPAN("defaults"))) {
		m->current = &m->defaults;
		return true;
	}
	if (span_equal(key, SPAN("include")) || span_equal(key, SPAN("eval"))) {
		import_remark(m->into, IMPORT_NOTE_INCLUDE, key, value);
		return true;
	}
	if (!m->current)
		return false;
	for (size_t k = 0; k < KEY_COUNT; k++)
		if (span_equal(key, span_of(keys[k])))
			m->current->values[k] = value.size ? value : SPAN("on");
	return true;
}

static bool is_on(struct span value)
{
	return span_equal(value, SPAN("on"));
}

static void take_sign_in(struct msmtp *m, const struct msmtp_account *from, struct import_account *a)
{
	struct span auth = from->values[AUTH];
	bool is_oauth = span_equal(auth, SPAN("oauthbearer")) || span_equal(auth, SPAN("xoauth2"));

	a->sign_in = IMPORT_LINK;
	if (is_oauth) {
		import_remark(m->into, IMPORT_NOTE_NO_TOKEN, a->address, SPAN(""));
	} else if (from->values[PASSWORD].size) {
		a->password = import_secret(m->into, from->values[PASSWORD]);
		a->user = span_equal_fold(from->values[USER], a->address) ? SPAN("") : import_word(m->into, from->values[USER]);
		a->sign_in = IMPORT_PASSWORD;
	} else if (from->values[PASSWORD_COMMAND].size) {
		import_remark(m->into, IMPORT_NOTE_PASSWORD_COMMAND, a->address, SPAN(""));
	} else if (!auth.size || span_equal(auth, SPAN("off"))) {
		import_remark(m->into, IMPORT_NOTE_NO_CREDENTIALS, a->address, SPAN(""));
	} else {
		import_remark(m->into, IMPORT_NOTE_KEYRING, a->address, SPAN(""));
	}
}

static void take_account(struct msmtp *m, const struct msmtp_account *from)
{
	struct span address = span_find_byte(from->values[FROM], '@') < from->values[FROM].size ? from->values[FROM] : from->values[USER];
	bool has_tls = is_on(from->values[TLS]), is_implicit = has_tls && span_equal(from->values[TLS_STARTTLS], SPAN("off"));
	struct import_account *a;
	struct import_client *c;
	uint64_t port = 0;

	if (!address.size && !from->values[HOST].size) /* "account default : NAME" and the like */
		return;
	if (!from->values[HOST].size) {
		import_remark(m->into, IMPORT_NOTE_NO_HOST, from->name, SPAN(""));
		return;
	}
	a = import_account(m->into, address);
	if (!a)
		return;
	if (!span_number(from->values[PORT], &port) || port > UINT16_MAX)
		port = is_implicit ? 465 : has_tls ? 587 : 25;
	import_server(m->into, &a->registration, from->values[HOST], port);
	a->registration.is_implicit = is_implicit;
	a->registration.is_clear = !has_tls;
	take_sign_in(m, from, a);
	c = import_client(m->into, from->name);
	if (c)
		import_list_add(m->into, &c->mailboxes, a->address);
}

/* An account that only stands for another adds nothing of its own. */
static bool is_alias(const struct msmtp *m, const struct msmtp_account *a)
{
	for (const struct msmtp_account *other = m->accounts; other < a; other++) {
		size_t k = 0;

		while (k < KEY_COUNT && span_equal(other->values[k], a->values[k]))
			k++;
		if (k == KEY_COUNT)
			return true;
	}
	return false;
}

enum fault import_msmtp_read(struct import *i, struct span text)
{
	struct msmtp *m = arena_take(i->arena, sizeof *m);
	struct span line, rest = arena_copy(i->arena, span_slice(text, 0, IMPORT_TEXT_BYTES));

	m->into = i;
	if (text.size > IMPORT_TEXT_BYTES)
		import_fail(i, FAULT_TOO_LARGE, "over %d bytes", IMPORT_TEXT_BYTES);
	for (unsigned number = 1; i->fault == FAULT_OK && span_cut(&rest, '\n', &line); number++) {
		line = span_trim(line);
		if (line.size && *line.at != '#' && !take_line(m, line))
			import_fail(i, FAULT_MALFORMED, "line %u is not understood", number);
	}
	for (size_t at = 0; at < m->count && i->fault == FAULT_OK; at++)
		if (!is_alias(m, &m->accounts[at]))
			take_account(m, &m->accounts[at]);
	if (!m->count)
		import_fail(i, FAULT_MALFORMED, "no account stands in it; is it an msmtprc?");
	return i->fault;
}
