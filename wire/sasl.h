/* wire/sasl.h - the SASL mechanisms we speak: read as a server, written as a client.
 *
 * Why       SMTP, IMAP and POP carry the same exchanges; one reader decides what a login says.
 * Promise   A login that is read has a user name without control bytes, and a secret that is not empty.
 *           Nothing is allocated: a response is decoded in the caller's line, which the caller wipes.
 * Owns      The user name of a LOGIN exchange between its two lines.
 * Refuses   Text that is not exactly what the mechanism says; acting as another user than the one who signs in.
 * See       RFC 4616 PLAIN, draft-murchison-sasl-login LOGIN, RFC 7628 OAUTHBEARER, Google's XOAUTH2 page, RFC 4954 */
#pragma once
#include "base/buf.h"
#include "base/fault.h"

enum {
	SASL_LINE_BYTES = 12288, /* a response line as it travels, without CR LF (RFC 4954 4) */
	SASL_USER_BYTES = 320,
};

enum sasl_mechanism { SASL_PLAIN, SASL_LOGIN, SASL_XOAUTH2, SASL_OAUTHBEARER, SASL_MECHANISM_COUNT };

/* A set of mechanisms has bit `1u << mechanism` for each. */
enum { SASL_ALL = (1 << SASL_MECHANISM_COUNT) - 1 };

/* The name as it travels: "PLAIN". */
struct span sasl_name(enum sasl_mechanism);

/* The mechanism of that name in any case, or SASL_MECHANISM_COUNT. */
enum sasl_mechanism sasl_named(struct span name);

/* Whether the secret is a bearer token rather than a password. */
bool sasl_is_bearer(enum sasl_mechanism);

/* --- the server's half */

struct sasl_server {
	enum sasl_mechanism mechanism;
	bool named; /* LOGIN: the user name has been read */
	char user[SASL_USER_BYTES];
	size_t user_size;
};

/* What a complete exchange said. `user` is empty only for an OAUTHBEARER that leaves it to the token. Both are
 * borrowed: `user` from the exchange or the line, `secret` from the line. */
struct sasl_login {
	struct span user, secret;
};

/* Starts an exchange. */
void sasl_server_init(struct sasl_server *, enum sasl_mechanism);

/* The challenge that is due, in base64 as it travels: empty but for LOGIN. */
struct span sasl_server_challenge(const struct sasl_server *);

/* Takes one response line without CR LF, at most SASL_LINE_BYTES, and decodes it where it stands. FAULT_OK with a
 * secret in `login_out`: the exchange is complete; FAULT_OK without: the next challenge is due. FAULT_AUTH_MALFORMED,
 * FAULT_AUTH_CANCELLED for `*`, FAULT_BAD_LOGIN for another authorization identity. A lone `=` stands for an empty
 * initial response, which the caller makes of it; elsewhere it is malformed. */
enum fault sasl_server_take(struct sasl_server *, char *line, size_t size, struct sasl_login *login_out) MUST_CHECK;

/* The challenge that must follow a refused bearer login before the refusal itself (RFC 7628 3.2.2), in base64; empty
 * where the mechanism has none. The client's next line carries nothing. */
struct span sasl_server_refusal(enum sasl_mechanism);

/* Forgets the user name. */
void sasl_server_wipe(struct sasl_server *);

/* --- the client's half */

/* Who signs in. `host` and `port` are told by OAUTHBEARER when given. All borrowed. */
struct sasl_credentials {
	struct span user, secret, host;
	unsigned port;
};

/* How many response lines the mechanism takes: 2 for LOGIN, else 1. */
unsigned sasl_client_steps(enum sasl_mechanism);

/* Appends response line number `step` (from 0) in base64, without CR LF; LOGIN's lines are user name, then password.
 * FAULT_MALFORMED when a part is empty or holds bytes the mechanism cannot carry, FAULT_TOO_LARGE past SASL_LINE_BYTES
 * or past the ceiling of `out`, which the caller wipes. */
enum fault sasl_client_put(struct buf *out, enum sasl_mechanism, unsigned step,
			   const struct sasl_credentials *) MUST_CHECK;

/* What answers the challenge of a failed login, so that the server can say its refusal: empty for XOAUTH2, `AQ==` for
 * OAUTHBEARER (RFC 7628 3.2.3), `*` for the others, which have no such challenge. */
struct span sasl_client_end(enum sasl_mechanism);
