#include "loop/real/http_easy.h"

#include "base/panic.h"
#include "base/secret.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_MS = 5 * 1000, HEAD_BYTES = 64 * 1024, RESOLVE_BYTES = 2048, NEXT_ADDRESS_MS = 250 /* RFC 8305 5 */ };

static size_t on_body(char *at, size_t one, size_t size, void *self)
{
	struct http_fetch *f = self;

	if (buf_put(&f->answer, (struct span){ at, size }))
		return size;
	f->too_large = true;
	return CURL_WRITEFUNC_ERROR;
}

/* A body that is read from us cannot be wound back by libcurl, which would otherwise send a request once more by itself
 * when a kept connection dies under it: the first may have been heard. Without a body it goes out on a new connection, where nothing is repeated. */
static size_t on_send(char *to, size_t one, size_t size, void *self)
{
	struct http_fetch *f = self;
	struct span piece = span_slice(buf_span(&f->body), f->body_sent, size);

	if (piece.size)
		memcpy(to, piece.at, piece.size);
	f->body_sent += piece.size;
	return piece.size;
}

static bool take_field(struct span line, struct span name, struct buf *out)
{
	if (!span_starts_fold(line, name))
		return false;
	buf_clear(out);
	buf_put(out, span_trim(span_slice(line, name.size, line.size)));
	return true;
}

static size_t on_header(char *at, size_t one, size_t size, void *self)
{
	struct http_fetch *f = self;
	struct span line = { at, size };

	f->head_size += size;
	if (f->head_size > HEAD_BYTES) {
		f->too_large = true;
		return CURL_WRITEFUNC_ERROR;
	}
	if (span_starts(line, SPAN("HTTP/"))) { /* a "100 Continue" came before */
		buf_clear(&f->content_type);
		buf_clear(&f->location);
		buf_clear(&f->date);
		buf_clear(&f->retry_after);
		return size;
	}
	if (!take_field(line, SPAN("Content-Type:"), &f->content_type) &&
	    !take_field(line, SPAN("Location:"), &f->location) && !take_field(line, SPAN("Date:"), &f->date))
		take_field(line, SPAN("Retry-After:"), &f->retry_after);
	return size;
}

/* What was wrong is kept: libcurl tells a bad signature from no TLS at all only by words. */
static int on_verify(X509_STORE_CTX *store, void *self)
{
	struct http_fetch *f = self;
	int good = X509_verify_cert(store);

	f->verify_error = good > 0 ? X509_V_OK : X509_STORE_CTX_get_error(store);
	return good;
}

/* The rules of loop/real/tls.c, and its store, which is read once and not for each connection. */
static CURLcode on_context(CURL *easy, void *context, void *self)
{
	struct http_fetch *f = self;
	SSL_CTX *ssl = context;
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ssl);
	struct address literal;

	if (!f->client->trust)
		return CURLE_SSL_CACERT_BADFILE;
	SSL_CTX_set1_cert_store(ssl, SSL_CTX_get_cert_store(tls_context(f->client->trust)));
	SSL_CTX_set_security_level(ssl, 2);
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_cert_verify_callback(ssl, on_verify, f);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	if (address_parse(&literal, span_of(f->host), 0))
		X509_VERIFY_PARAM_set1_ip(param, literal.bytes, literal.family == ADDRESS_IPV4 ? 4 : 16);
	else {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
							       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
		X509_VERIFY_PARAM_set1_host(param, f->host, 0);
	}
	return CURLE_OK;
}

static void set_callbacks(struct http_fetch *f)
{
	CURL *e = f->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, f);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->why);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, f);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(e, CURLOPT_READDATA, f);
	curl_easy_setopt(e, CURLOPT_MAXFILESIZE, (long)f->answer.max);
}

/* Nothing from the environment, no other protocol, no way round verification. */
void http_easy_manners(struct http_fetch *f, int timeout_ms)
{
	CURL *e = f->easy;

	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, f->is_plain ? "http" : "https");
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS));
	curl_easy_setopt(e, CURLOPT_HAPPY_EYEBALLS_TIMEOUT_MS, (long)NEXT_ADDRESS_MS);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_CAINFO, NULL);
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT,
			 0L); /* else the store of on_context() is kept, and outlives its bundle */
	curl_easy_setopt(e, CURLOPT_SSL_SESSIONID_CACHE, 0L); /* a resumed session is not verified again */
	curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, on_context);
	curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, f);
	set_callbacks(f);
}

bool http_easy_method(struct http_fetch *f, struct span method)
{
	char name[16] = "";

	if (!method.size || method.size >= sizeof name)
		return false;
	for (size_t i = 0; i < method.size; i++) {
		if (method.at[i] < 'A' || method.at[i] > 'Z')
			return false;
		name[i] = method.at[i];
	}
	if (!f->body.size) /* nothing to wind back: see on_send() */
		curl_easy_setopt(f->easy, CURLOPT_FRESH_CONNECT, 1L);
	if (span_equal(method, SPAN("HEAD"))) {
		curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
		return true;
	}
	if (span_equal(method, SPAN("GET")) && !f->body.size) {
		curl_easy_setopt(f->easy, CURLOPT_HTTPGET, 1L);
		return true;
	}
	curl_easy_setopt(f->easy, CURLOPT_POST, 1L);
	curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)f->body.size);
	curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, name);
	return true;
}

static bool add_header(struct http_fetch *f, struct span name, struct span value)
{
	struct buf line;
	bool fits;

	buf_init(&line, HTTP_EASY_FIELD_BYTES);
	/* libcurl takes "Name;" for a header without a value */
	fits = buf_put(&line, name) && buf_put(&line, value.size ? SPAN(": ") : SPAN(";")) && buf_put(&line, value);
	for (size_t i = 0; i < line.size; i++)
		fits = fits && (unsigned char)line.at[i] >= 0x20 && line.at[i] != 0x7f;
	if (fits && buf_put_byte(&line, '\0')) {
		struct curl_slist *more = curl_slist_append(f->headers, line.at);

		if (!more)
			panic("out of memory");
		f->headers = more;
	}
	buf_wipe(&line);
	return fits;
}

bool http_easy_headers(struct http_fetch *f, const struct http_request *r)
{
	struct curl_slist *none = curl_slist_append(NULL, "Expect:");

	if (!none)
		panic("out of memory");
	f->headers = none;
	for (size_t i = 0; i < r->header_count; i++)
		if (!add_header(f, r->headers[i].name, r->headers[i].value))
			return false;
	curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
	return true;
}

/* "[2001:db8::1]" without its brackets. */
static char *bare_host(const char *host)
{
	size_t size = strlen(host);

	return *host == '[' && size > 2 ? strndup(host + 1, size - 2) : strdup(host);
}

static bool read_parts(struct http_fetch *f, CURLU *url)
{
	char *scheme = NULL, *host = NULL, *port = NULL;
	uint64_t number = 0;
	bool good = !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) && !curl_url_get(url, CURLUPART_HOST, &host, 0) &&
		    !curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) &&
		    span_number(span_of(port), &number);

	if (good) {
		f->is_plain = !strcmp(scheme, "http");
		f->host = bare_host(host);
		f->port = (uint16_t)number;
		good = f->is_plain || !strcmp(scheme, "https");
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return good;
}

bool http_easy_url(struct http_fetch *f, struct span text)
{
	char *copy = strndup(text.size ? text.at : "", text.size);
	CURLU *url = curl_url();
	bool good;

	if (!copy || !url)
		panic("out of memory");
	good = strlen(copy) == text.size && !curl_url_set(url, CURLUPART_URL, copy, CURLU_DISALLOW_USER) &&
	       read_parts(f, url);
	if (good)
		curl_easy_setopt(f->easy, CURLOPT_URL, copy);
	curl_url_cleanup(url);
	secret_wipe(copy, strlen(copy)); /* a query may carry a code */
	free(copy);
	return good;
}

/* "+host:port:address,address": libcurl asks nobody, and forgets them in time. */
void http_easy_addresses(struct http_fetch *f, const struct dns_answer *a)
{
	char memory[RESOLVE_BYTES];
	struct buf line;

	buf_over(&line, memory, sizeof memory - 1);
	buf_print(&line, "+%s:%u:", f->host, f->port);
	for (size_t i = 0; i < a->count; i++) {
		bool six = a->addresses[i].family == ADDRESS_IPV6;

		if (i)
			buf_put_byte(&line, ',');
		if (six)
			buf_put_byte(&line, '[');
		address_print(&line, &a->addresses[i], false);
		if (six)
			buf_put_byte(&line, ']');
	}
	memory[line.size] = '\0';
	f->resolve = curl_slist_append(NULL, memory);
	curl_easy_setopt(f->easy, CURLOPT_RESOLVE, f->resolve);
}
