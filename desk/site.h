/* desk/site.h - under which address people reach us, and who is really at the other end of a request.
 *
 * Why       Links, redirect addresses and cookies must name the address in the person's browser, which a reverse proxy may hide from us.
 * Promise   The redirect address is always the public one and /oauth/callback. X-Forwarded-For, -Proto and -Host are believed from
 *           `trusted_proxies` alone.
 * Owns      Its texts.
 * Refuses   Hosts that are neither ours nor an address in digits: a foreign name that was pointed at us (DNS rebinding) shows nothing. Unsafe
 *           methods that a page of another site caused.
 * See       RFC 9110 7.2, Fetch Metadata (Sec-Fetch-Site), RFC 6454 */
#pragma once
#include "base/config.h"
#include "loop/http_server.h"

struct site;

/* `first` is the address that the first HTTP listener is bound to (family ADDRESS_NONE when there is none), and whether it speaks TLS. */
MUST_CHECK enum fault site_new(struct site **out, const struct config *, const struct address *first, bool first_is_tls, char *why_out);
void site_free(struct site **);

/* "https://mail.example.com", "http://localhost:8443"; that and "/oauth/callback". */
struct span site_url(const struct site *);
struct span site_redirect(const struct site *);

/* Whether browsers reach us by https, so that cookies are for it alone. */
bool site_is_secure(const struct site *);

/* Who asks, as far as it is to be believed. `host` lives as long as the exchange. */
struct site_visit {
	struct address client;
	struct span host; /* with its port, as in the browser */
	bool secure;
	bool via_proxy;  /* a trusted one, which was believed */
	bool is_claimed; /* it says that it was forwarded, believed or not */
};
struct site_visit site_visit(const struct site *, const struct http_exchange *);

/* Whether the host is one of ours. */
bool site_knows(const struct site *, const struct site_visit *);

/* Where the visitor should be instead, so that the cookie will be seen at the redirect address: "http://localhost:8443" for one who
 * came to 127.0.0.1; empty when all is well. */
struct span site_better(const struct site *, const struct site_visit *);

/* Whether a request with an unsafe method came from a page of ours, or from no page at all. */
bool site_is_ours(const struct site *, const struct site_visit *, struct span fetch_site, struct span origin);

/* Whether numbers may be shown: to loopback and the networks of trusted proxies. Whoever comes through a proxy counts by their own address,
 * and by none when we do not trust that proxy. */
bool site_may_measure(const struct site *, const struct site_visit *);
