#include "base/panic.h"
#include "loop/real/inner.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A BIO of our own instead of the socket: what came is read where it lies, what goes waits for what belongs to it, so
 * that a ticket and a greeting leave in one segment and a stream needs one system call each way. */
struct cipher {
	SSL *ssl;
	struct tls *tls;
	struct span in;
	struct buf *out;
	char why[192];
};

static int bio_read(BIO *bio, char *to, int size)
{
	struct cipher *c = BIO_get_data(bio);
	size_t take = c->in.size < (size_t)size ? c->in.size : (size_t)size;

	BIO_clear_retry_flags(bio);
	if (!take) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(to, c->in.at, take);
	c->in = span_slice(c->in, take, c->in.size);
	return (int)take;
}

static int bio_write(BIO *bio, const char *from, int size)
{
	struct cipher *c = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	return buf_put(c->out, (struct span){ from, (size_t)size }) ? size : -1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

static int bio_create(BIO *bio)
{
	BIO_set_init(bio, 1);
	return 1;
}

/* Lives as long as the process; roles have one thread that speaks TLS. */
static BIO_METHOD *bio_method(void)
{
	static _Thread_local BIO_METHOD *method;

	if (method)
		return method;
	method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
	if (!method)
		panic("out of memory");
	BIO_meth_set_read(method, bio_read);
	BIO_meth_set_write(method, bio_write);
	BIO_meth_set_ctrl(method, bio_control);
	BIO_meth_set_create(method, bio_create);
	return method;
}

static struct cipher *make(struct tls *tls, struct buf *out)
{
	struct cipher *c = calloc(1, sizeof *c);
	BIO *bio = BIO_new(bio_method());

	if (!c || !bio)
		panic("out of memory");
	c->ssl = SSL_new(tls_context(tls));
	if (!c->ssl)
		panic("out of memory");
	c->tls = tls_hold(tls);
	c->out = out;
	BIO_set_data(bio, c);
	SSL_set_bio(c->ssl, bio, bio);
	return c;
}

struct cipher *cipher_server_new(struct tls *tls, struct buf *out)
{
	struct cipher *c = make(tls, out);

	SSL_set_accept_state(c->ssl);
	return c;
}

/* RFC 9525: only subject alternative names count, and a wildcard stands for one whole label. */
static bool expect(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct address literal;

	if (address_parse(&literal, span_of(host), 0))
		return X509_VERIFY_PARAM_set1_ip(param, literal.bytes, literal.family == ADDRESS_IPV4 ? 4 : 16) == 1;
	X509_VERIFY_PARAM_set_hostflags(param,
					X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* The connection shows it, not the context: so it is gone when the handshake is. */
static void show_identity(struct cipher *c)
{
	const struct tls_identity *i = tls_identity(c->tls);

	if (i && SSL_use_cert_and_key(c->ssl, i->leaf, i->key, i->chain, 1) != 1)
		panic("a certificate that was read cannot be shown");
}

static void forget_identity(struct cipher *c)
{
	if (!c->tls || !tls_identity(c->tls))
		return;
	SSL_certs_clear(c->ssl);
	tls_drop(&c->tls);
}

struct cipher *cipher_client_new(struct tls *tls, struct span host_name, struct buf *out)
{
	struct cipher *c = make(tls, out);
	char host[256] = "";

	if (span_starts(host_name, SPAN("[")))
		host_name = span_slice(host_name, 1, host_name.size - 2);
	if (host_name.size && host_name.at[host_name.size - 1] == '.')
		host_name.size--;
	if (host_name.size && host_name.size < sizeof host && !memchr(host_name.at, '\0', host_name.size))
		memcpy(host, host_name.at, host_name.size);
	/* A name that can't be verified must fail, not pass: ".invalid" belongs to nobody (RFC 6761 6.4). */
	if (!*host || !expect(c->ssl, host))
		X509_VERIFY_PARAM_set1_host(SSL_get0_param(c->ssl), "unverifiable.invalid", 0);
	show_identity(c);
	SSL_set_connect_state(c->ssl);
	return c;
}

void cipher_free(struct cipher **cipher)
{
	struct cipher *c = *cipher;

	*cipher = NULL;
	if (!c)
		return;
	SSL_free(c->ssl);
	tls_drop(&c->tls);
	free(c);
}

void cipher_feed(struct cipher *c, struct span bytes)
{
	ASSERT(!c->in.size);
	c->in = bytes;
}

static enum fault failed(struct cipher *c, const char *doing)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;
	long verified = SSL_is_server(c->ssl) ? X509_V_OK : SSL_get_verify_result(c->ssl);

	ERR_clear_error();
	c->in = (struct span){ 0 };
	if (verified != X509_V_OK) {
		snprintf(c->why, sizeof c->why, "certificate: %s", X509_verify_cert_error_string(verified));
		return FAULT_TLS_UNTRUSTED;
	}
	snprintf(c->why, sizeof c->why, "TLS %s: %s", doing, reason ? reason : "broken off");
	return FAULT_TLS_FAILED;
}

enum fault cipher_shake(struct cipher *c)
{
	int done;

	ERR_clear_error();
	done = SSL_do_handshake(c->ssl);
	if (done == 1)
		forget_identity(c);
	if (done == 1 || SSL_get_error(c->ssl, done) == SSL_ERROR_WANT_READ)
		return FAULT_OK;
	return failed(c, "handshake");
}

bool cipher_is_open(const struct cipher *c)
{
	return SSL_is_init_finished(c->ssl);
}

enum fault cipher_read(struct cipher *c, char *bytes_out, size_t size, size_t *size_out)
{
	size_t got;

	*size_out = 0;
	ERR_clear_error();
	while (*size_out < size) {
		int done = SSL_read_ex(c->ssl, bytes_out + *size_out, size - *size_out, &got);

		if (done == 1) {
			*size_out += got;
			continue;
		}
		switch (SSL_get_error(c->ssl, done)) {
		case SSL_ERROR_WANT_READ: return FAULT_OK;
		case SSL_ERROR_ZERO_RETURN: return FAULT_CLOSED;
		default: return failed(c, "reading");
		}
	}
	return FAULT_OK;
}

enum fault cipher_write(struct cipher *c, struct span bytes)
{
	size_t written;

	ERR_clear_error();
	if (!bytes.size || (SSL_write_ex(c->ssl, bytes.at, bytes.size, &written) == 1 && written == bytes.size))
		return FAULT_OK;
	return failed(c, "writing");
}

void cipher_goodbye(struct cipher *c)
{
	if (SSL_is_init_finished(c->ssl))
		SSL_shutdown(c->ssl);
	ERR_clear_error();
}

const char *cipher_why(const struct cipher *c)
{
	return c->why;
}

struct span cipher_version(const struct cipher *c)
{
	return span_of(SSL_get_version(c->ssl));
}

struct span cipher_name(const struct cipher *c)
{
	return span_of(SSL_get_cipher_name(c->ssl));
}

void cipher_names(const struct cipher *c, struct buf *out)
{
	X509 *leaf = SSL_is_server(c->ssl) && SSL_get_verify_result(c->ssl) == X509_V_OK ? SSL_get0_peer_certificate(c->ssl) : NULL;
	GENERAL_NAMES *names = leaf ? X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL) : NULL;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		struct span text;

		if (name->type != GEN_DNS)
			continue;
		text = (struct span){ (const char *)ASN1_STRING_get0_data(name->d.dNSName), (size_t)ASN1_STRING_length(name->d.dNSName) };
		if (memchr(text.at, '\0', text.size) || span_find_byte(text, ' ') != text.size)
			continue;
		if (out->size)
			buf_put_byte(out, ' ');
		buf_put(out, text);
	}
	GENERAL_NAMES_free(names);
}
