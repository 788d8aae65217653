#include "wire/import_postfix.h"

#include "base/json.h"

enum { PATH_BYTES_MAX = 1024 };

struct import_postfix *import_postfix_new(struct import *into)
{
	struct import_postfix *p = arena_take(into->arena, sizeof *p);

	p->into = into;
	return p;
}

/* --- lines, as Postfix has them: those that begin with a blank go on, # begins a comment line */

/* The next whole line; the line ends inside it become blanks. False at the end. */
static bool next_line(char **at, const char *end, struct span *out)
{
	char *from = *at, *to;

	while (from < end && (*from == '\n' || *from == '\r' || *from == '#')) {
		const char *stop = *from == '#' ? memchr(from, '\n', (size_t)(end - from)) : from;

		from = stop ? from + (stop - from) + 1 : from + (end - from);
	}
	if (from == end)
		return false;
	for (to = from; to < end; to++) {
		if (*to != '\n')
			continue;
		/* Comments and empty lines between are passed over. */
		while (to + 1 < end && (to[1] == '#' || to[1] == '\n')) {
			char *stop = to[1] == '\n' ? to + 1 : memchr(to + 1, '\n', (size_t)(end - to - 1));

			memset(to, ' ', (size_t)((stop ? stop : end) - to));
			to = stop ? stop : to + (end - to) - 1;
			if (!stop)
				break;
		}
		if (to + 1 >= end || (to[1] != ' ' && to[1] != '\t'))
			break;
		*to = ' ';
	}
	*out = span_trim((struct span){ from, (size_t)(to - from) });
	*at = to < end ? to + 1 : to;
	return true;
}

static bool fits(struct import_postfix *p, struct span text)
{
	if (text.size > IMPORT_TEXT_BYTES)
		import_fail(p->into, FAULT_TOO_LARGE, "over %d bytes", IMPORT_TEXT_BYTES);
	else if (span_find_byte(text, 0) < text.size)
		import_fail(p->into, FAULT_MALFORMED, "this is no text; give the table that postmap made it from");
	return p->into->fault == FAULT_OK;
}

static bool is_setting(struct span line)
{
	struct span key = span_trim(span_slice(line, 0, span_find_byte(line, '=')));

	return key.size < line.size && key.size && span_find_byte(key, ' ') == key.size && span_find_byte(key, '@') == key.size &&
	       span_find_byte(key, ':') == key.size && *key.at != '[';
}

/* "user:password" behind the key of a table. */
static bool is_login(struct span value)
{
	struct span user = span_slice(value, 0, span_find_byte(value, ':'));

	return user.size < value.size && *value.at != '[' && (span_find_byte(user, '@') < user.size || span_find_byte(user, '.') == user.size);
}

enum import_postfix_kind import_postfix_guess(struct span text)
{
	struct span line, value;

	while (span_cut(&text, '\n', &line)) {
		line = span_trim(line);
		if (!line.size || *line.at == '#')
			continue;
		if (is_setting(line))
			return IMPORT_POSTFIX_MAIN;
		value = span_trim(span_slice(line, span_find_byte(line, ' '), line.size));
		if (!value.size)
			value = span_trim(span_slice(line, span_find_byte(line, '\t'), line.size));
		return value.size && is_login(value) ? IMPORT_POSTFIX_PASSWORDS : IMPORT_POSTFIX_RELAYS;
	}
	return IMPORT_POSTFIX_MAIN;
}

/* --- main.cf */

static void want(struct import_postfix *p, enum import_postfix_kind kind, struct span path, struct span directory)
{
	static const struct span here = { "$config_directory", 17 }, braced = { "${config_directory}", 19 };
	struct span rest = span_starts(path, here)     ? span_slice(path, here.size, path.size)
			   : span_starts(path, braced) ? span_slice(path, braced.size, path.size)
						       : path;

	if (p->wanted_count == IMPORT_POSTFIX_FILES_MAX || path.size + directory.size > PATH_BYTES_MAX)
		return;
	if (rest.size != path.size)
		path = arena_print(p->into->arena, "%.*s%.*s", SPAN_ARGS(directory), SPAN_ARGS(rest));
	p->wanted[p->wanted_count].kind = kind;
	p->wanted[p->wanted_count++].path = path;
}

static struct span word_at(struct span text, size_t at)
{
	size_t end = at;

	while (end < text.size && !strchr(", \t", text.at[end]))
		end++;
	return span_slice(text, at, end - at);
}

/* "hash:/etc/postfix/x, texthash:/y": what is made from a text of the same name is read as that text. */
static void take_tables(struct import_postfix *p, enum import_postfix_kind kind, struct span value, struct span directory)
{
	static const char *const from_text[] = { "hash", "btree", "lmdb", "dbm", "cdb", "texthash", "sdbm" };
	struct span piece;

	for (size_t at = 0; at <= value.size; at += piece.size + 1) {
		struct span type;
		bool is_known = false;

		piece = word_at(value, at);
		type = span_slice(piece, 0, span_find_byte(piece, ':'));
		for (size_t i = 0; i < sizeof from_text / sizeof *from_text; i++)
			is_known = is_known || span_equal(type, span_of(from_text[i]));
		if (is_known && type.size < piece.size)
			want(p, kind, span_slice(piece, type.size + 1, piece.size), directory);
		else if (piece.size)
			import_remark(p->into, IMPORT_NOTE_TABLE_KIND, SPAN("main.cf"), piece);
	}
}

static void take_setting(struct import_postfix *p, struct span key, struct span value, struct span directory)
{
	if (span_equal(key, SPAN("relayhost")))
		p->relayhost = import_word(p->into, value);
	else if (span_equal(key, SPAN("smtp_tls_wrappermode")))
		p->is_wrapped = span_equal_fold(value, SPAN("yes"));
	else if (span_equal(key, SPAN("smtp_sender_dependent_authentication")))
		p->by_sender = span_equal_fold(value, SPAN("yes"));
	else if (span_equal(key, SPAN("smtp_sasl_password_maps")))
		take_tables(p, IMPORT_POSTFIX_PASSWORDS, value, directory);
	else if (span_equal(key, SPAN("sender_dependent_relayhost_maps")))
		take_tables(p, IMPORT_POSTFIX_RELAYS, value, directory);
}

enum fault import_postfix_main(struct import_postfix *p, struct span text, struct span directory)
{
	char *copy = arena_text(p->into->arena, span_slice(text, 0, IMPORT_TEXT_BYTES)), *at = copy;
	struct span line;

	if (!fits(p, text))
		return p->into->fault;
	while (next_line(&at, copy + text.size, &line)) {
		size_t equals = span_find_byte(line, '=');

		if (equals < line.size)
			take_setting(p, span_trim(span_slice(line, 0, equals)), span_trim(span_slice(line, equals + 1, line.size)), directory);
	}
	return p->into->fault;
}

/* --- tables */

enum fault import_postfix_table(struct import_postfix *p, enum import_postfix_kind kind, struct span text)
{
	char *copy = arena_text(p->into->arena, span_slice(text, 0, IMPORT_TEXT_BYTES)), *at = copy;
	bool is_passwords = kind == IMPORT_POSTFIX_PASSWORDS;
	struct import_postfix_row *rows = is_passwords ? p->passwords : p->relays;
	size_t *count = is_passwords ? &p->password_count : &p->relay_count;
	struct span line;

	if (!fits(p, text))
		return p->into->fault;
	while (next_line(&at, copy + text.size, &line)) {
		size_t end = 0;

		while (end < line.size && line.at[end] != ' ' && line.at[end] != '\t')
			end++;
		if (!line.size)
			continue;
		if (*count == IMPORT_POSTFIX_ROWS_MAX) {
			import_fail(p->into, FAULT_TOO_LARGE, "over %d lines", IMPORT_POSTFIX_ROWS_MAX);
			break;
		}
		rows[(*count)++] = (struct import_postfix_row){ span_slice(line, 0, end), span_trim(span_slice(line, end, line.size)) };
	}
	return p->into->fault;
}

enum fault import_postfix_xoauth2(struct import_postfix *p, struct span text)
{
	json_t *json = json_read(text, IMPORT_TEXT_BYTES);

	if (!json) {
		import_fail(p->into, FAULT_MALFORMED, "this is no configuration of sasl-xoauth2");
		return p->into->fault;
	}
	p->client_id = import_word(p->into, json_text(json, "client_id"));
	p->client_secret = import_secret(p->into, json_text(json, "client_secret"));
	p->token_url = import_word(p->into, json_text(json, "token_endpoint"));
	json_decref(json);
	return p->into->fault;
}

/* --- together */

/* "[host]:port", "host:port", "host"; a word such as `submission` for the port is 587, `smtps` 465. */
static void take_hop(struct import_postfix *p, struct import_registration *r, struct span hop)
{
	struct span host = hop, port = { "", 0 };
	uint64_t number = 0;

	if (hop.size && *hop.at == '[') {
		host = span_slice(hop, 1, span_find_byte(hop, ']') - 1);
		port = span_slice(hop, host.size + 3, hop.size);
	} else {
		host = span_slice(hop, 0, span_find_byte(hop, ':'));
		port = span_slice(hop, host.size + 1, hop.size);
	}
	if (!span_number(port, &number) || number > UINT16_MAX)
		number = span_equal_fold(port, SPAN("submission")) ? 587 : span_equal_fold(port, SPAN("smtps")) || span_equal_fold(port, SPAN("submissions")) ? 465 : 25;
	import_server(p->into, r, host, number);
	r->is_implicit = r->is_implicit || p->is_wrapped;
}

static struct span relay_of(const struct import_postfix *p, struct span sender)
{
	struct span domain = span_slice(sender, span_find_byte(sender, '@'), sender.size);

	for (size_t i = 0; i < p->relay_count; i++)
		if (span_equal_fold(p->relays[i].key, sender))
			return p->relays[i].value;
	for (size_t i = 0; i < p->relay_count; i++)
		if (domain.size && span_equal_fold(p->relays[i].key, domain))
			return p->relays[i].value;
	return p->relayhost;
}

/* The mailbox of a login: the sender that the row is about, else the user name. */
static struct import_account *account_of_row(struct import_postfix *p, const struct import_postfix_row *row, struct span user)
{
	size_t at = span_find_byte(row->key, '@');

	if (at && at < row->key.size)
		return import_account(p->into, row->key);
	if (!at)
		import_remark(p->into, IMPORT_NOTE_SENDER_DOMAIN, row->key, SPAN(""));
	return import_account(p->into, user);
}

static void take_login(struct import_postfix *p, const struct import_postfix_row *row, struct import_client *client)
{
	size_t colon = span_find_byte(row->value, ':');
	struct span user = span_slice(row->value, 0, colon), secret = span_slice(row->value, colon + 1, row->value.size);
	bool is_sender = span_find_byte(row->key, '@') < row->key.size;
	struct span hop = is_sender ? relay_of(p, row->key) : row->key;
	struct import_account *a = account_of_row(p, row, user);

	if (!a)
		return;
	if (!hop.size) {
		import_remark(p->into, IMPORT_NOTE_NO_HOST, a->address, SPAN(""));
		return;
	}
	take_hop(p, &a->registration, hop);
	if (secret.size && *secret.at == '/')
		a->token_file = import_word(p->into, secret);
	else
		a->password = import_secret(p->into, secret);
	if (!span_equal_fold(user, a->address))
		a->user = import_word(p->into, user);
	a->sign_in = a->password.size ? IMPORT_PASSWORD : IMPORT_LINK;
	import_list_add(p->into, &client->mailboxes, a->address);
}

static bool is_account(const struct import *i, struct span address)
{
	for (size_t at = 0; at < i->account_count; at++)
		if (span_equal_fold(i->accounts[at].address, address))
			return true;
	return false;
}

/* Which account a next hop signs in as, where only one does. */
static struct import_account *account_of_hop(struct import_postfix *p, struct span hop)
{
	for (size_t i = 0; i < p->password_count; i++) {
		const struct import_postfix_row *row = &p->passwords[i];
		struct span user = span_slice(row->value, 0, span_find_byte(row->value, ':'));

		if (span_equal_fold(row->key, hop) && is_account(p->into, user))
			return import_account(p->into, user);
	}
	return NULL;
}

static void take_relay(struct import_postfix *p, const struct import_postfix_row *row)
{
	struct import_account *a;
	size_t at = span_find_byte(row->key, '@');

	if (is_account(p->into, row->key))
		return;
	a = account_of_hop(p, row->value);
	if (!a)
		import_remark(p->into, IMPORT_NOTE_NO_CREDENTIALS, row->key, SPAN(""));
	else if (!at || at == row->key.size)
		import_remark(p->into, IMPORT_NOTE_SENDER_DOMAIN, row->key, SPAN(""));
	else
		import_list_add(p->into, &a->aliases, row->key);
}

enum fault import_postfix_join(struct import_postfix *p)
{
	struct import_client *client;

	if (!p->password_count && p->into->fault == FAULT_OK)
		import_fail(p->into, FAULT_MALFORMED, "no table of passwords (smtp_sasl_password_maps) is there");
	client = p->into->fault == FAULT_OK ? import_client(p->into, SPAN("postfix")) : NULL;
	if (!client)
		return p->into->fault;
	for (size_t i = 0; i < p->password_count; i++)
		take_login(p, &p->passwords[i], client);
	for (size_t i = 0; i < p->relay_count; i++)
		take_relay(p, &p->relays[i]);
	return p->into->fault;
}

static struct span either(struct import_postfix *p, const json_t *json, const char *name, struct span preset)
{
	struct span own = import_secret(p->into, json_text(json, name));

	return own.size ? own : preset;
}

void import_postfix_token(struct import_postfix *p, struct import_account *a, struct span text)
{
	static const struct span google = { "https://accounts.google.com/o/oauth2/token", 42 };
	json_t *json = json_read(text, IMPORT_TEXT_BYTES);
	struct import_registration *r = &a->registration;
	struct span url = either(p, json, "token_endpoint", p->token_url), path = a->token_file;

	a->token_file = (struct span){ "", 0 };
	if (!json) {
		import_remark(p->into, IMPORT_NOTE_NO_FILE, a->address, path);
		return;
	}
	r->kind = span_equal(r->kind, SPAN("smtp")) ? SPAN("") : r->kind;
	if (!import_token_url(p->into, r, url.size ? url : google)) {
		import_remark(p->into, IMPORT_NOTE_NO_LOGIN_HOST, a->address, url);
		r->kind = SPAN("");
	}
	r->client_id = either(p, json, "client_id", p->client_id);
	r->client_secret = either(p, json, "client_secret", p->client_secret);
	a->refresh_token = import_secret(p->into, json_text(json, "refresh_token"));
	json_decref(json);
	if (!r->client_id.size)
		import_remark(p->into, IMPORT_NOTE_NO_CLIENT_ID, a->address, SPAN(""));
	else if (!a->refresh_token.size)
		import_remark(p->into, IMPORT_NOTE_NO_TOKEN, a->address, SPAN(""));
	a->sign_in = a->refresh_token.size && r->client_id.size ? IMPORT_TOKEN : IMPORT_LINK;
}
