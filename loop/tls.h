/* loop/tls.h - what a stream needs to speak TLS: one context per listener, one for all that goes out.
 *
 * Why       Certificates and the CA bundle are replaced without dropping a session: a stream keeps the
 *           context it began with.
 * Promise   Going out: TLS 1.2 or later, chain and host name verified, no way to switch that off.
 * Owns      Its keys. Shared by reference: tls_hold() and tls_drop().
 *           A key that is shown to servers is held only until the handshake that it was given for has ended.
 * Refuses   A certificate without its key, a key of another certificate, an empty CA bundle.
 * See       RFC 8446, RFC 8314; loop/real/tls.c (OpenSSL), loop/fake/tls.c (no encryption, same events) */
#pragma once
#include "base/fault.h"

struct tls;

enum tls_version { TLS_VERSION_1_0, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_server_settings {
	struct span certificate_pem; /* the chain, leaf first */
	struct span key_pem;
	struct span second_certificate_pem, second_key_pem; /* of the other key kind (RSA beside ECDSA), or empty */
	enum tls_version lowest;     /* below 1.2 also admits the cipher suites that old devices know */
	struct span alpn;            /* "http/1.1", "smtp" ..., or empty for none */
	struct span client_ca_pem;   /* clients are asked for a certificate, and may have none: stream_tls_names(); empty: none is asked for */
};

/* A context for accepting. `why_out` (may be NULL) gets a text for the log, valid until the next call. */
MUST_CHECK enum fault tls_server_new(struct tls **out, const struct tls_server_settings *, const char **why_out);

/* A context for connecting: trusts the certificates in `ca_pem` and nothing else. */
MUST_CHECK enum fault tls_client_new(struct tls **out, struct span ca_pem, const char **why_out);

/* A context for one handshake to come: trusts what `trusting` (a client context) trusts, and shows the certificate (the chain, leaf first) where a
 * server asks for one. A stream lets go of it when its handshake has ended; the key is freed when the caller has dropped it too. */
MUST_CHECK enum fault tls_client_certified(struct tls **out, const struct tls *trusting, struct span certificate_pem, struct span key_pem,
					   const char **why_out);

/* One more, one fewer reference. tls_drop() sets it to NULL. */
struct tls *tls_hold(struct tls *);
void tls_drop(struct tls **);

/* When the leaf certificate ends, in wall milliseconds; 0 for a client context without one. */
int64_t tls_ends_at_ms(const struct tls *);

/* When the first certificate of a PEM text ends, for whoever watches it without its key; 0 when there is none. */
int64_t tls_certificate_ends_at_ms(struct span pem);
