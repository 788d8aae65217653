#include "wire/sasl.h"

#include "base/secret.h"
#include "base/text.h"

#include <string.h>

#define INVALID_TOKEN "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=" /* {"status":"invalid_token"} */

enum { RAW_BYTES = SASL_LINE_BYTES / 4 * 3 };

static const struct {
	struct span name, refusal, end;
	unsigned steps;
	bool bearer;
} mechanisms[SASL_MECHANISM_COUNT] = {
	[SASL_PLAIN] = { { "PLAIN", 5 }, { "", 0 }, { "*", 1 }, 1, false },
	[SASL_LOGIN] = { { "LOGIN", 5 }, { "", 0 }, { "*", 1 }, 2, false },
	/* Exchange refuses XOAUTH2 at once, and its clients expect that; only OAUTHBEARER demands the challenge. */
	[SASL_XOAUTH2] = { { "XOAUTH2", 7 }, { "", 0 }, { "", 0 }, 1, true },
	[SASL_OAUTHBEARER] = { { "OAUTHBEARER", 11 },
			       { INVALID_TOKEN, sizeof INVALID_TOKEN - 1 },
			       { "AQ==", 4 },
			       1,
			       true },
};

struct span sasl_name(enum sasl_mechanism m)
{
	return mechanisms[m].name;
}

enum sasl_mechanism sasl_named(struct span name)
{
	for (unsigned m = 0; m < SASL_MECHANISM_COUNT; m++)
		if (span_equal_fold(mechanisms[m].name, name))
			return (enum sasl_mechanism)m;
	return SASL_MECHANISM_COUNT;
}

bool sasl_is_bearer(enum sasl_mechanism m)
{
	return mechanisms[m].bearer;
}

struct span sasl_server_refusal(enum sasl_mechanism m)
{
	return mechanisms[m].refusal;
}

unsigned sasl_client_steps(enum sasl_mechanism m)
{
	return mechanisms[m].steps;
}

struct span sasl_client_end(enum sasl_mechanism m)
{
	return mechanisms[m].end;
}

void sasl_server_init(struct sasl_server *s, enum sasl_mechanism m)
{
	s->mechanism = m;
	s->named = false;
	s->user_size = 0;
}

void sasl_server_wipe(struct sasl_server *s)
{
	secret_wipe(s->user, s->user_size);
	s->user_size = 0;
}

struct span sasl_server_challenge(const struct sasl_server *s)
{
	if (s->mechanism != SASL_LOGIN)
		return SPAN("");
	return s->named ? SPAN("UGFzc3dvcmQ6") : SPAN("VXNlcm5hbWU6"); /* "Password:", "Username:" */
}

static bool has_control(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if ((unsigned char)s.at[i] < 0x20 || s.at[i] == 0x7f)
			return true;
	return false;
}

static bool is_user(struct span s)
{
	return s.size <= SASL_USER_BYTES && !has_control(s) && text_is_utf8(s);
}

/* A password is any text; NUL alone would be ambiguous. */
static bool is_password(struct span s)
{
	return s.size && span_find_byte(s, '\0') == s.size;
}

/* RFC 6750 2.1 allows less than every visible character; other servers' tokens do not keep to it. */
static bool is_token(struct span s)
{
	for (size_t i = 0; i < s.size; i++)
		if (s.at[i] < 0x21 || s.at[i] > 0x7e)
			return false;
	return s.size != 0;
}

/* authorization identity NUL user NUL password (RFC 4616 2) */
static enum fault read_plain(struct span text, struct sasl_login *login)
{
	struct span acting_as, user;

	if (!span_cut(&text, '\0', &acting_as) || !span_cut(&text, '\0', &user) || !text.at)
		return FAULT_AUTH_MALFORMED;
	if (!user.size || !is_user(user) || !is_user(acting_as) || !is_password(text))
		return FAULT_AUTH_MALFORMED;
	if (acting_as.size && !span_equal_fold(acting_as, user))
		return FAULT_BAD_LOGIN;
	*login = (struct sasl_login){ user, text };
	return FAULT_OK;
}

static enum fault read_login(struct sasl_server *s, struct span text, struct sasl_login *login)
{
	if (s->named) {
		if (!is_password(text))
			return FAULT_AUTH_MALFORMED;
		*login = (struct sasl_login){ { s->user, s->user_size }, text };
		return FAULT_OK;
	}
	if (!text.size || !is_user(text))
		return FAULT_AUTH_MALFORMED;
	memcpy(s->user, text.at, text.size);
	s->user_size = text.size;
	s->named = true;
	return FAULT_OK;
}

/* "Bearer" in any case, blanks, the token. */
static bool read_bearer(struct span value, struct span *token_out)
{
	if (!span_starts_fold(value, SPAN("Bearer ")))
		return false;
	value = span_slice(value, 7, value.size);
	while (span_starts(value, SPAN(" ")))
		value = span_slice(value, 1, value.size);
	*token_out = value;
	return is_token(value);
}

/* *(key "=" value ^A) ^A, each key once; keys that are not asked for are passed over (RFC 7628 3.1). */
static bool read_pairs(struct span text, struct span *user, struct span *token)
{
	struct span pair = { 0 };

	while (span_cut(&text, '\1', &pair) && text.at && pair.size) {
		size_t equals = span_find_byte(pair, '=');
		struct span key = span_slice(pair, 0, equals), value = span_slice(pair, equals + 1, pair.size);

		if (!equals || equals == pair.size || has_control(value))
			return false;
		if (span_equal_fold(key, SPAN("auth")) && (token->size || !read_bearer(value, token)))
			return false;
		if (user && span_equal_fold(key, SPAN("user"))) {
			if (user->size || !value.size || !is_user(value))
				return false;
			*user = value;
		}
	}
	return text.at && !text.size && !pair.size && token->size;
}

/* user=NAME ^A auth=Bearer TOKEN ^A ^A */
static enum fault read_xoauth2(struct span text, struct sasl_login *login)
{
	struct sasl_login read = { 0 };

	if (!read_pairs(text, &read.user, &read.secret) || !read.user.size)
		return FAULT_AUTH_MALFORMED;
	*login = read;
	return FAULT_OK;
}

/* =2C and =3D, decoded where they stand (RFC 5801 4) */
static bool read_saslname(char *at, size_t size, struct span *name_out)
{
	size_t to = 0;

	for (size_t i = 0; i < size; i++) {
		char c = at[i];

		if (c == '=') {
			if (!span_starts_fold((struct span){ at + i, size - i }, SPAN("=2C")) &&
			    !span_starts_fold((struct span){ at + i, size - i }, SPAN("=3D")))
				return false;
			c = at[i + 1] == '2' ? ',' : '=';
			i += 2;
		}
		at[to++] = c;
	}
	*name_out = (struct span){ at, to };
	return to && is_user(*name_out);
}

/* "n," [a=NAME] "," ^A, then pairs (RFC 7628 3.1); `y`: the client knows channel binding and sees that we do not. */
static enum fault read_oauthbearer(char *at, size_t size, struct sasl_login *login)
{
	struct span text = { at, size }, binding, name;
	struct sasl_login read = { .user = SPAN("") };

	if (!span_cut(&text, ',', &binding) || !span_cut(&text, ',', &name) || !span_starts(text, SPAN("\1")))
		return FAULT_AUTH_MALFORMED;
	if (!span_equal(binding, SPAN("n")) && !span_equal(binding, SPAN("y")))
		return FAULT_AUTH_MALFORMED;
	if (name.size &&
	    (!span_starts(name, SPAN("a=")) || !read_saslname(at + (name.at - at) + 2, name.size - 2, &read.user)))
		return FAULT_AUTH_MALFORMED;
	if (!read_pairs(span_slice(text, 1, text.size), NULL, &read.secret))
		return FAULT_AUTH_MALFORMED;
	*login = read;
	return FAULT_OK;
}

enum fault sasl_server_take(struct sasl_server *s, char *line, size_t size, struct sasl_login *login_out)
{
	struct buf decoded;

	*login_out = (struct sasl_login){ 0 };
	if (size == 1 && *line == '*')
		return FAULT_AUTH_CANCELLED;
	if (!size || size > SASL_LINE_BYTES)
		return FAULT_AUTH_MALFORMED;
	buf_over(&decoded, line, size);
	if (!text_from_base64(&decoded, (struct span){ line, size })) /* three bytes go where four were read */
		return FAULT_AUTH_MALFORMED;
	switch (s->mechanism) {
	case SASL_PLAIN: return read_plain(buf_span(&decoded), login_out);
	case SASL_LOGIN: return read_login(s, buf_span(&decoded), login_out);
	case SASL_XOAUTH2: return read_xoauth2(buf_span(&decoded), login_out);
	case SASL_OAUTHBEARER: return read_oauthbearer(line, decoded.size, login_out);
	default: return FAULT_BUG;
	}
}

static void put_saslname(struct buf *out, struct span name)
{
	for (size_t i = 0; i < name.size; i++)
		if (name.at[i] == ',' || name.at[i] == '=')
			buf_print(out, "=%02X", (unsigned)name.at[i]);
		else
			buf_put_byte(out, name.at[i]);
}

static void put_bearer(struct buf *raw, struct span token)
{
	buf_put(raw, SPAN("auth=Bearer "));
	buf_put(raw, token);
	buf_put(raw, SPAN("\1\1"));
}

static void put_oauthbearer(struct buf *raw, const struct sasl_credentials *c)
{
	buf_put(raw, SPAN("n,a="));
	put_saslname(raw, c->user);
	buf_put(raw, SPAN(",\1"));
	if (c->host.size)
		buf_print(raw, "host=%.*s\1", SPAN_ARGS(c->host));
	if (c->port)
		buf_print(raw, "port=%u\1", c->port);
	put_bearer(raw, c->secret);
}

static void put_raw(struct buf *raw, enum sasl_mechanism m, unsigned step, const struct sasl_credentials *c)
{
	switch (m) {
	case SASL_PLAIN:
		buf_put_byte(raw, '\0');
		buf_put(raw, c->user);
		buf_put_byte(raw, '\0');
		buf_put(raw, c->secret);
		break;
	case SASL_LOGIN: buf_put(raw, step ? c->secret : c->user); break;
	case SASL_XOAUTH2:
		buf_put(raw, SPAN("user="));
		buf_put(raw, c->user);
		buf_put_byte(raw, '\1');
		put_bearer(raw, c->secret);
		break;
	default: put_oauthbearer(raw, c); break;
	}
}

enum fault sasl_client_put(struct buf *out, enum sasl_mechanism m, unsigned step, const struct sasl_credentials *c)
{
	char memory[RAW_BYTES];
	struct buf raw;
	bool fits;

	if (!c->user.size || !is_user(c->user) || has_control(c->host) || step >= mechanisms[m].steps)
		return FAULT_MALFORMED;
	if (mechanisms[m].bearer ? !is_token(c->secret) : !is_password(c->secret))
		return FAULT_MALFORMED;
	buf_over(&raw, memory, sizeof memory);
	put_raw(&raw, m, step, c);
	fits = !raw.overfull && text_base64(out, buf_span(&raw));
	secret_wipe(memory, raw.size);
	return fits ? FAULT_OK : FAULT_TOO_LARGE;
}
