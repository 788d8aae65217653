#include "loop/certificate.h"

#include "base/clock.h"
#include "base/rand.h"
#include "loop/address.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

enum { PEM_BYTES = 16 * 1024, SERVER_DAYS = 397, AUTHORITY_DAYS = 3650, DAY_SECONDS = 86400, NAMES_BYTES = 4096 };

static bool put_bio(BIO *bio, struct buf *out)
{
	char *at;
	long size = BIO_get_mem_data(bio, &at);

	return size > 0 && buf_put(out, (struct span){ at, (size_t)size });
}

static bool write_pair(X509 *certificate, EVP_PKEY *key, struct certificate_pair *out)
{
	BIO *one = BIO_new(BIO_s_mem()), *other = BIO_new(BIO_s_secmem());
	bool good = one && other && PEM_write_bio_X509(one, certificate) && PEM_write_bio_PrivateKey(other, key, NULL, NULL, 0, NULL, NULL);

	good = good && put_bio(one, &out->certificate_pem) && put_bio(other, &out->key_pem);
	BIO_free(one);
	BIO_free(other);
	return good;
}

static bool add_extension(X509 *certificate, X509 *issuer, int kind, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool good;

	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
	good = extension && X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
	return good;
}

/* The parts that both kinds share: version, serial number, dates, name, key. */
static X509 *begin(EVP_PKEY *key, const char *title, int days)
{
	X509 *x = X509_new();
	unsigned char serial[16];
	BIGNUM *number;
	time_t now = (time_t)(clock_wall_ms() / 1000);
	X509_NAME *name;

	if (!x)
		return NULL;
	rand_bytes(serial, sizeof serial);
	serial[0] &= 0x7f;
	number = BN_bin2bn(serial, sizeof serial, NULL);
	BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x));
	BN_free(number);
	X509_set_version(x, X509_VERSION_3);
	ASN1_TIME_adj(X509_getm_notBefore(x), now, -1, 0);
	ASN1_TIME_adj(X509_getm_notAfter(x), now, days, 0);
	name = X509_get_subject_name(x);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)title, -1, -1, 0);
	X509_set_pubkey(x, key);
	return x;
}

static void init_pair(struct certificate_pair *p)
{
	buf_init(&p->certificate_pem, PEM_BYTES);
	buf_init(&p->key_pem, PEM_BYTES);
}

enum fault certificate_authority(struct certificate_pair *out, const char *title)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = key ? begin(key, title, AUTHORITY_DAYS) : NULL;
	bool good;

	init_pair(out);
	good = x && X509_set_issuer_name(x, X509_get_subject_name(x)) &&
	       add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
	       add_extension(x, x, NID_subject_key_identifier, "hash") && X509_sign(x, key, EVP_sha256()) && write_pair(x, key, out);
	X509_free(x);
	EVP_PKEY_free(key);
	return good ? FAULT_OK : FAULT_BUG;
}

/* "DNS:a,IP:b"; names are checked, since OpenSSL reads a small language here. */
static bool put_names(struct buf *out, const struct span *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct address address;
		bool is_address = address_parse(&address, names[i], 0) && address.family != ADDRESS_PATH;

		for (size_t k = 0; k < names[i].size; k++)
			if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:*", names[i].at[k]))
				return false;
		buf_print(out, "%s%s%.*s", i ? "," : "", is_address ? "IP:" : "DNS:", SPAN_ARGS(names[i]));
	}
	return count && buf_put_byte(out, 0);
}

static X509 *read_certificate(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return x;
}

static EVP_PKEY *read_key(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.at, (int)pem.size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return key;
}

enum fault certificate_for(struct certificate_pair *out, const struct certificate_pair *authority, const struct span *names, size_t name_count,
			   bool rsa)
{
	EVP_PKEY *key = rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"), *signer = read_key(buf_span(&authority->key_pem));
	X509 *issuer = read_certificate(buf_span(&authority->certificate_pem)), *x = NULL;
	struct buf text;
	bool good;

	init_pair(out);
	buf_init(&text, NAMES_BYTES);
	good = key && signer && issuer && put_names(&text, names, name_count);
	if (good)
		x = begin(key, "Postern", SERVER_DAYS);
	good = x && X509_set_issuer_name(x, X509_get_subject_name(issuer)) &&
	       add_extension(x, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
	       add_extension(x, issuer, NID_key_usage, rsa ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature") &&
	       add_extension(x, issuer, NID_ext_key_usage, "serverAuth") && add_extension(x, issuer, NID_subject_alt_name, text.at) &&
	       X509_sign(x, signer, EVP_sha256()) && write_pair(x, key, out);
	buf_free(&text);
	X509_free(x);
	X509_free(issuer);
	EVP_PKEY_free(key);
	EVP_PKEY_free(signer);
	return good ? FAULT_OK : FAULT_MALFORMED;
}

/* Never asks anybody at a terminal. */
static int no_password(char *text, int size, int writes, void *self)
{
	return -1;
}

static EVP_PKEY *read_plain_key(struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.size ? pem.at : "", (int)pem.size);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;

	BIO_free(bio);
	return key;
}

/* All certificates of a text, written anew; the first is given back. */
static X509 *copy_chain(struct span pem, BIO *to)
{
	BIO *bio = BIO_new_mem_buf(pem.size ? pem.at : "", (int)pem.size);
	X509 *leaf = NULL, *next;

	while (bio && (next = PEM_read_bio_X509(bio, NULL, no_password, NULL))) {
		PEM_write_bio_X509(to, next);
		if (leaf)
			X509_free(next);
		else
			leaf = next;
	}
	BIO_free(bio);
	return leaf;
}

enum fault certificate_read(struct certificate_pair *out, struct span pem, const char **why_out)
{
	BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_secmem());
	X509 *leaf = pem.size < PEM_BYTES * 4 && chain ? copy_chain(pem, chain) : NULL;
	EVP_PKEY *key = leaf ? read_plain_key(pem) : NULL;

	init_pair(out);
	*why_out = !leaf ? "there is no certificate in it" : !key ? "there is no key in it that opens without a password" : NULL;
	if (!*why_out && X509_check_private_key(leaf, key) != 1)
		*why_out = "the key is that of another certificate";
	if (!*why_out && !(put_bio(chain, &out->certificate_pem) && secret && PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) &&
			   put_bio(secret, &out->key_pem)))
		*why_out = "the chain is longer than any";
	ERR_clear_error();
	X509_free(leaf);
	EVP_PKEY_free(key);
	BIO_free(chain);
	BIO_free(secret);
	return *why_out ? FAULT_MALFORMED : FAULT_OK;
}

bool certificate_says(struct certificate_facts *out, struct span certificate_pem)
{
	X509 *x = read_certificate(certificate_pem);
	GENERAL_NAMES *names = x ? X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL) : NULL;
	struct tm end = { 0 };

	*out = (struct certificate_facts){ 0 };
	buf_init(&out->names, NAMES_BYTES);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			buf_print(&out->names, "%s%.*s", out->names.size ? " " : "", ASN1_STRING_length(name->d.dNSName),
				  (const char *)ASN1_STRING_get0_data(name->d.dNSName));
	}
	if (x && ASN1_TIME_to_tm(X509_get0_notAfter(x), &end))
		out->ends_at_ms = (int64_t)timegm(&end) * 1000;
	ERR_clear_error();
	GENERAL_NAMES_free(names);
	X509_free(x);
	return x != NULL;
}

void certificate_pair_free(struct certificate_pair *p)
{
	buf_free(&p->certificate_pem);
	buf_wipe(&p->key_pem);
}
