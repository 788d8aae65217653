#include "loop/tls.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/panic.h"
#include "loop/fake/null_tls.h"
#include "loop/fake/world.h"

#include <stdlib.h>

struct tls {
	size_t holders;
	bool is_server;
	struct buf text; /* a server's certificate; a client's authorities */
	struct buf other; /* a server's clients' authorities; what a client shows */
};

#define CERTIFICATE_HEAD "null certificate"
#define AUTHORITY_HEAD "null authority"

struct span world_certificate(char text_out[512], const char *names, const char *authority, int64_t ends_at_ms)
{
	struct buf b;

	buf_over(&b, text_out, 512);
	buf_print(&b, CERTIFICATE_HEAD "\nnames %s\nby %s\nends %lld\n", names, authority, (long long)ends_at_ms);
	ASSERT(!b.overfull);
	return buf_span(&b);
}

struct span world_authority(char text_out[128], const char *authority)
{
	struct buf b;

	buf_over(&b, text_out, 128);
	buf_print(&b, AUTHORITY_HEAD "\nname %s\n", authority);
	ASSERT(!b.overfull);
	return buf_span(&b);
}

/* The rest of the line that begins with `word`, or an empty span. */
static struct span line_of(struct span text, struct span word)
{
	struct span line;

	while (span_cut(&text, '\n', &line))
		if (span_starts(line, word))
			return span_slice(line, word.size, line.size);
	return SPAN("");
}

static bool is_named(struct span words, struct span wanted)
{
	struct span word;

	while (span_cut(&words, ' ', &word))
		if (span_equal_fold(word, wanted))
			return true;
	return false;
}

static struct tls *tls_new(bool is_server, struct span text, struct span other)
{
	struct tls *t = calloc(1, sizeof *t);

	if (!t)
		panic("out of memory");
	t->holders = 1;
	t->is_server = is_server;
	buf_init(&t->text, 4 * 1024 * 1024);
	buf_init(&t->other, 4 * 1024 * 1024);
	if (!buf_put(&t->text, text) || !buf_put(&t->other, other))
		panic("a certificate text of over 4 MB");
	return t;
}

static enum fault refuse(const char **why_out, const char *why)
{
	if (why_out)
		*why_out = why;
	return FAULT_TLS_FAILED;
}

enum fault tls_server_new(struct tls **out, const struct tls_server_settings *settings, const char **why_out)
{
	*out = NULL;
	if (!settings->certificate_pem.size)
		return refuse(why_out, "there is no certificate");
	if (!settings->key_pem.size)
		return refuse(why_out, "there is no key for the certificate");
	*out = tls_new(true, settings->certificate_pem, settings->client_ca_pem);
	return FAULT_OK;
}

enum fault tls_client_new(struct tls **out, struct span ca_pem, const char **why_out)
{
	*out = NULL;
	if (!span_trim(ca_pem).size)
		return refuse(why_out, "the CA bundle is empty");
	*out = tls_new(false, ca_pem, SPAN(""));
	return FAULT_OK;
}

enum fault tls_client_certified(struct tls **out, const struct tls *trusting, struct span certificate_pem, struct span key_pem, const char **why_out)
{
	*out = NULL;
	if (!certificate_pem.size)
		return refuse(why_out, "there is no certificate");
	if (!key_pem.size)
		return refuse(why_out, "there is no key for the certificate");
	*out = tls_new(false, buf_span(&trusting->text), certificate_pem);
	return FAULT_OK;
}

struct tls *tls_hold(struct tls *t)
{
	t->holders++;
	return t;
}

void tls_drop(struct tls **tls)
{
	struct tls *t = *tls;

	*tls = NULL;
	if (!t || --t->holders)
		return;
	buf_wipe(&t->text);
	buf_wipe(&t->other);
	free(t);
}

int64_t tls_ends_at_ms(const struct tls *t)
{
	const struct buf *own = t->is_server ? &t->text : &t->other;
	uint64_t ends;

	if (!own->size || !span_number(line_of(buf_span(own), SPAN("ends ")), &ends))
		return own->size ? INT64_MAX : 0;
	return (int64_t)ends;
}

int64_t tls_certificate_ends_at_ms(struct span pem)
{
	uint64_t ends;

	return span_number(line_of(pem, SPAN("ends ")), &ends) ? (int64_t)ends : 0;
}

struct span null_tls_certificate(const struct tls *t)
{
	return buf_span(&t->text);
}

struct span null_tls_shown(const struct tls *t)
{
	return t->is_server ? SPAN("") : buf_span(&t->other);
}

/* Whether one of the bundle's authorities has that name. */
static bool trusts(struct span rest, struct span authority)
{
	struct span line;

	while (span_cut(&rest, '\n', &line))
		if (span_starts(line, SPAN("name ")) && span_equal(span_slice(line, 5, line.size), authority))
			return true;
	return false;
}

const char *null_tls_verify(const struct tls *t, struct span certificate, struct span host_name)
{
	uint64_t ends;

	if (!span_starts(certificate, SPAN(CERTIFICATE_HEAD)))
		return NULL;
	if (!trusts(buf_span(&t->text), line_of(certificate, SPAN("by "))))
		return "unable to get local issuer certificate";
	if (span_number(line_of(certificate, SPAN("ends ")), &ends) && (int64_t)ends < clock_wall_ms())
		return "certificate has expired";
	if (!is_named(line_of(certificate, SPAN("names ")), host_name))
		return "hostname mismatch";
	return NULL;
}

struct span null_tls_names(const struct tls *t, struct span certificate)
{
	uint64_t ends;

	if (!t->is_server || !t->other.size || !span_starts(certificate, SPAN(CERTIFICATE_HEAD)) ||
	    !trusts(buf_span(&t->other), line_of(certificate, SPAN("by "))) ||
	    (span_number(line_of(certificate, SPAN("ends ")), &ends) && (int64_t)ends < clock_wall_ms()))
		return SPAN("");
	return line_of(certificate, SPAN("names "));
}
