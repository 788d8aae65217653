#include "loop/tls.h"

#include "base/panic.h"
#include "loop/real/inner.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ALPN_BYTES = 32 };

struct tls {
	unsigned references;
	SSL_CTX *context;
	struct tls_identity shown; /* by a client; zeroed for none */
	char alpn[ALPN_BYTES]; /* one size byte, then the name (RFC 7301 3.1) */
	unsigned alpn_size;
	int64_t ends_at_ms;
};

static char why_text[256];

static void say_why(const char **why_out, const char *what)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	ERR_clear_error();
	if (!why_out)
		return;
	snprintf(why_text, sizeof why_text, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
	*why_out = why_text;
}

/* Without openssl.cnf: what we allow stands here alone, and no file is opened. */
static void start_openssl(void)
{
	OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL);
}

static void need_openssl(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start_openssl);
}

static struct tls *make(const SSL_METHOD *method)
{
	struct tls *t = calloc(1, sizeof *t);

	need_openssl();
	ERR_clear_error();
	if (!t)
		panic("out of memory");
	t->references = 1;
	t->context = SSL_CTX_new(method);
	if (!t->context)
		panic("OpenSSL makes no context");
	SSL_CTX_set_mode(t->context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(t->context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	return t;
}

static BIO *open_pem(struct span pem)
{
	return BIO_new_mem_buf(pem.size ? pem.at : "", (int)(pem.size < INT32_MAX ? pem.size : 0));
}

/* Never asks anybody at a terminal. */
static int no_password(char *text, int size, int writes, void *self)
{
	return -1;
}

static X509 *read_chain(struct span pem, STACK_OF(X509) * chain)
{
	BIO *bio = open_pem(pem);
	X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL, *next;

	while (leaf && (next = PEM_read_bio_X509(bio, NULL, no_password, NULL)))
		sk_X509_push(chain, next);
	BIO_free(bio);
	return leaf;
}

static void drop_identity(struct tls_identity *i)
{
	sk_X509_pop_free(i->chain, X509_free);
	X509_free(i->leaf);
	EVP_PKEY_free(i->key); /* OpenSSL overwrites its numbers */
	*i = (struct tls_identity){ 0 };
}

/* NULL, or what is wrong. */
static const char *read_identity(struct tls_identity *i, struct span certificate_pem, struct span key_pem)
{
	BIO *bio = open_pem(key_pem);

	*i = (struct tls_identity){ .chain = sk_X509_new_null() };
	i->leaf = read_chain(certificate_pem, i->chain);
	i->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	BIO_free(bio);
	if (!i->leaf)
		return "the certificate file holds no certificate";
	return i->key ? NULL : "the key file holds no key that can be read without a password";
}

static int64_t end_of(const X509 *leaf)
{
	struct tm t = { 0 };

	return ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &t) ? (int64_t)timegm(&t) * 1000 : 0;
}

/* OpenSSL refuses a key of another certificate itself. */
static const char *use_certificate(struct tls *t, struct span certificate_pem, struct span key_pem)
{
	struct tls_identity i;
	const char *wrong = read_identity(&i, certificate_pem, key_pem);

	if (!wrong && SSL_CTX_use_cert_and_key(t->context, i.leaf, i.key, i.chain, 1) != 1)
		wrong = "the certificate and the key do not go together";
	if (!wrong && (!t->ends_at_ms || end_of(i.leaf) < t->ends_at_ms))
		t->ends_at_ms = end_of(i.leaf);
	drop_identity(&i);
	return wrong;
}

/* A client that offers names without ours was sent here from another service (ALPACA): refused. */
static int on_alpn(SSL *ssl, const unsigned char **name_out, unsigned char *size_out, const unsigned char *offered,
		   unsigned offered_size, void *self)
{
	const struct tls *t = self;
	unsigned char *chosen;

	if (SSL_select_next_proto(&chosen, size_out, (const unsigned char *)t->alpn, t->alpn_size, offered,
				  offered_size) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*name_out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static bool set_alpn(struct tls *t, struct span name)
{
	if (!name.size)
		return true;
	if (name.size >= sizeof t->alpn)
		return false;
	t->alpn[0] = (char)name.size;
	for (size_t i = 0; i < name.size; i++)
		t->alpn[i + 1] = name.at[i];
	t->alpn_size = (unsigned)name.size + 1;
	SSL_CTX_set_alpn_select_cb(t->context, on_alpn, t);
	return true;
}

/* TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL allows at security level 0 alone. */
static bool set_versions(struct tls *t, enum tls_version lowest)
{
	static const int numbers[] = { TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION };
	bool old = lowest < TLS_VERSION_1_2;

	if (old)
		SSL_CTX_set_dh_auto(t->context, 1);
	SSL_CTX_set_security_level(t->context, old ? 0 : 2);
	return SSL_CTX_set_min_proto_version(t->context, numbers[lowest]) == 1 &&
	       SSL_CTX_set_cipher_list(
		       t->context,
		       old ? "DEFAULT:!PSK:!SRP:@SECLEVEL=0"
			   : "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AESGCM:RSA+AES:!PSK:!SRP:@SECLEVEL=2") == 1;
}

static size_t trust(SSL_CTX *context, struct span ca_pem)
{
	X509_STORE *store = SSL_CTX_get_cert_store(context);
	BIO *bio = open_pem(ca_pem);
	X509 *next;
	size_t count = 0;

	while (bio && (next = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		count += X509_STORE_add_cert(store, next) == 1;
		X509_free(next);
	}
	BIO_free(bio);
	ERR_clear_error();
	return count;
}

/* The handshake goes on whatever a client shows; what holds is asked afterwards. */
static int on_client_certificate(int holds, X509_STORE_CTX *chain)
{
	return 1;
}

/* Certificates of today are for servers even where a client shows them: public authorities sign no others any more. */
static const char *ask_clients(struct tls *t, struct span ca_pem)
{
	X509_VERIFY_PARAM *param = SSL_CTX_get0_param(t->context);

	if (!ca_pem.size)
		return NULL;
	if (!trust(t->context, ca_pem))
		return "the clients' CA bundle holds no certificate";
	SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, on_client_certificate);
	SSL_CTX_set_session_id_context(t->context, (const unsigned char *)"postern", 7);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	return X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY) == 1 ? NULL : "clients cannot be asked for certificates";
}

static const char *set_up_server(struct tls *t, const struct tls_server_settings *s)
{
	const char *wrong;

	SSL_CTX_set_options(t->context, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF);
	/* No ticket at all costs 43 ms a connection with clients that leave Nagle on.. */
	SSL_CTX_set_num_tickets(t->context, 1);
	if (!set_versions(t, s->lowest))
		return "the TLS versions cannot be set";
	if (!set_alpn(t, s->alpn))
		return "the ALPN name is too long";
	wrong = use_certificate(t, s->certificate_pem, s->key_pem);
	if (!wrong && s->second_certificate_pem.size)
		wrong = use_certificate(t, s->second_certificate_pem, s->second_key_pem);
	return wrong ? wrong : ask_clients(t, s->client_ca_pem);
}

enum fault tls_server_new(struct tls **out, const struct tls_server_settings *settings, const char **why_out)
{
	struct tls *t = make(TLS_server_method());
	const char *wrong = set_up_server(t, settings);

	*out = NULL;
	if (wrong) {
		say_why(why_out, wrong);
		tls_drop(&t);
		return FAULT_TLS_FAILED;
	}
	ERR_clear_error();
	*out = t;
	return FAULT_OK;
}

enum fault tls_client_new(struct tls **out, struct span ca_pem, const char **why_out)
{
	struct tls *t = make(TLS_client_method());

	*out = NULL;
	if (!trust(t->context, ca_pem)) {
		say_why(why_out, "the CA bundle holds no certificate");
		tls_drop(&t);
		return FAULT_TLS_FAILED;
	}
	SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_security_level(t->context, 2);
	SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
	/* Whatever the administrator put into the bundle is trusted, an issuing CA without its root too. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(t->context),
				    X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
	*out = t;
	return FAULT_OK;
}

enum fault tls_client_certified(struct tls **out, const struct tls *trusting, struct span certificate_pem, struct span key_pem, const char **why_out)
{
	struct tls *t = calloc(1, sizeof *t);
	const char *wrong;

	*out = NULL;
	if (!t)
		panic("out of memory");
	ERR_clear_error();
	t->references = 1;
	t->context = trusting->context;
	SSL_CTX_up_ref(t->context);
	wrong = read_identity(&t->shown, certificate_pem, key_pem);
	if (!wrong && X509_check_private_key(t->shown.leaf, t->shown.key) != 1)
		wrong = "the certificate and the key do not go together";
	if (wrong) {
		say_why(why_out, wrong);
		tls_drop(&t);
		return FAULT_TLS_FAILED;
	}
	t->ends_at_ms = end_of(t->shown.leaf);
	*out = t;
	return FAULT_OK;
}

struct tls *tls_hold(struct tls *t)
{
	t->references++;
	return t;
}

void tls_drop(struct tls **tls)
{
	struct tls *t = *tls;

	*tls = NULL;
	if (!t || --t->references)
		return;
	drop_identity(&t->shown);
	SSL_CTX_free(t->context);
	free(t);
}

int64_t tls_ends_at_ms(const struct tls *t)
{
	return t->ends_at_ms;
}

int64_t tls_certificate_ends_at_ms(struct span pem)
{
	BIO *bio;
	X509 *leaf;
	int64_t ends_at_ms;

	need_openssl();
	bio = open_pem(pem);
	leaf = bio ? PEM_read_bio_X509(bio, NULL, no_password, NULL) : NULL;
	ends_at_ms = leaf ? end_of(leaf) : 0;
	X509_free(leaf);
	BIO_free(bio);
	ERR_clear_error();
	return ends_at_ms;
}

SSL_CTX *tls_context(const struct tls *t)
{
	return t->context;
}

const struct tls_identity *tls_identity(const struct tls *t)
{
	return t->shown.key ? &t->shown : NULL;
}
