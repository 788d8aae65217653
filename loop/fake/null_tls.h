/* loop/fake/null_tls.h - what the fake stream asks of the fake TLS.
 *
 * Why       Nothing is encrypted, but a wrong certificate must be found out as it is in the field.
 * Promise   A certificate made by world_certificate() is checked for name, authority and end; any other text is believed.
 * Owns      Nothing.
 * Refuses   Being included from outside loop/fake. */
#pragma once
#include "loop/tls.h"

/* The certificate of a server context. */
struct span null_tls_certificate(const struct tls *);

/* The certificate that a client context shows, or an empty span. */
struct span null_tls_shown(const struct tls *);

/* The names of a client's certificate that a server context believes; empty where it does not. */
struct span null_tls_names(const struct tls *, struct span certificate);

/* NULL when a client context believes it for that host name, else why not. */
const char *null_tls_verify(const struct tls *, struct span certificate, struct span host_name);
