#include "base/seal.h"

#include "base/panic.h"
#include "base/rand.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <sodium.h>
#include <string.h>

enum { INNER_NONCE_BYTES = 12, HALF_NONCE_BYTES = 16 };

_Static_assert(SEAL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");
_Static_assert(SEAL_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce size");
_Static_assert(SEAL_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag size");
_Static_assert(SEAL_NONCE_BYTES - HALF_NONCE_BYTES + 4 == INNER_NONCE_BYTES, "what is left of the nonce");

/* Looked up once: OpenSSL's look-ups cost as much as sealing something short. */
static EVP_CIPHER *cipher;
static EVP_MD *digest;
static pthread_once_t looked_up = PTHREAD_ONCE_INIT;

static void look_up(void)
{
	cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
	digest = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (!cipher || !digest)
		panic("OpenSSL lacks ChaCha20-Poly1305 or SHA-256");
}

static const unsigned char *bytes(struct span s)
{
	return (const unsigned char *)s.at;
}

/* --- XChaCha20-Poly1305 is ChaCha20-Poly1305 under a key made of the key and two thirds of the nonce (draft-irtf-cfrg-xchacha 2.3). The long part is
 * OpenSSL's, which is four times as fast as libsodium's. */

static EVP_CIPHER_CTX *begin(struct span key, const unsigned char *nonce, struct span context, int seals)
{
	unsigned char inner_key[SEAL_KEY_BYTES], inner_nonce[INNER_NONCE_BYTES] = { 0 };
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int size;

	pthread_once(&looked_up, look_up);
	crypto_core_hchacha20(inner_key, nonce, bytes(key), NULL);
	memcpy(inner_nonce + 4, nonce + HALF_NONCE_BYTES, SEAL_NONCE_BYTES - HALF_NONCE_BYTES);
	if (!c || EVP_CipherInit_ex(c, cipher, NULL, inner_key, inner_nonce, seals) != 1 ||
	    (context.size && EVP_CipherUpdate(c, NULL, &size, bytes(context), (int)context.size) != 1))
		panic("OpenSSL cannot seal");
	secret_wipe(inner_key, sizeof inner_key);
	return c;
}

bool seal_put(struct buf *out, struct span key, struct span context, struct span text)
{
	unsigned char *at = (unsigned char *)buf_room(out, text.size + SEAL_OVER_BYTES), *sealed;
	EVP_CIPHER_CTX *c;
	int size = 0, rest;

	ASSERT(key.size == SEAL_KEY_BYTES && text.size <= INT32_MAX && context.size <= INT32_MAX);
	if (!at)
		return false;
	sealed = at + SEAL_NONCE_BYTES;
	rand_bytes(at, SEAL_NONCE_BYTES);
	c = begin(key, at, context, 1);
	if ((text.size && EVP_EncryptUpdate(c, sealed, &size, bytes(text), (int)text.size) != 1) || EVP_EncryptFinal_ex(c, sealed + size, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, sealed + text.size) != 1)
		panic("OpenSSL cannot seal");
	EVP_CIPHER_CTX_free(c);
	buf_grew(out, text.size + SEAL_OVER_BYTES);
	return true;
}

bool seal_open(struct buf *out, struct span key, struct span context, struct span sealed)
{
	unsigned char *at, tag[SEAL_TAG_BYTES];
	EVP_CIPHER_CTX *c;
	struct span inner;
	int size = 0, rest;
	bool good;

	ASSERT(key.size == SEAL_KEY_BYTES && context.size <= INT32_MAX);
	if (sealed.size < SEAL_OVER_BYTES || sealed.size > INT32_MAX)
		return false;
	inner = span_slice(sealed, SEAL_NONCE_BYTES, sealed.size - SEAL_OVER_BYTES);
	at = (unsigned char *)buf_room(out, inner.size);
	if (!at)
		return false;
	memcpy(tag, sealed.at + sealed.size - SEAL_TAG_BYTES, sizeof tag);
	c = begin(key, bytes(sealed), context, 0);
	good = (!inner.size || EVP_DecryptUpdate(c, at, &size, bytes(inner), (int)inner.size) == 1) &&
	       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES, tag) == 1 && EVP_DecryptFinal_ex(c, at + size, &rest) == 1;
	EVP_CIPHER_CTX_free(c);
	if (good)
		buf_grew(out, inner.size);
	else
		secret_wipe(at, inner.size); /* deciphered, and not to be believed */
	return good;
}

void seal_mac(unsigned char mac_out[SEAL_MAC_BYTES], struct span key, const struct span *pieces, size_t count)
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, bytes(key), key.size);
	for (size_t i = 0; i < count; i++) {
		uint64_t size = pieces[i].size;

		crypto_auth_hmacsha256_update(&state, (const unsigned char *)&size, sizeof size);
		crypto_auth_hmacsha256_update(&state, bytes(pieces[i]), pieces[i].size);
	}
	crypto_auth_hmacsha256_final(&state, mac_out);
	secret_wipe(&state, sizeof state);
}

void seal_hmac(unsigned char mac_out[SEAL_MAC_BYTES], struct span key, struct span text)
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, bytes(key), key.size);
	crypto_auth_hmacsha256_update(&state, bytes(text), text.size);
	crypto_auth_hmacsha256_final(&state, mac_out);
	secret_wipe(&state, sizeof state);
}

void seal_digest(unsigned char digest_out[SEAL_DIGEST_BYTES], struct span text)
{
	pthread_once(&looked_up, look_up);
	if (EVP_Digest(bytes(text), text.size, digest_out, NULL, digest, NULL) != 1)
		panic("OpenSSL cannot digest");
}

void seal_hash_init(struct seal_hash *h)
{
	pthread_once(&looked_up, look_up);
	h->state = EVP_MD_CTX_new();
	if (!h->state || EVP_DigestInit_ex(h->state, digest, NULL) != 1)
		panic("OpenSSL cannot digest");
}

void seal_hash_put(struct seal_hash *h, struct span s)
{
	ASSERT(EVP_DigestUpdate(h->state, s.at, s.size) == 1);
}

void seal_hash_end(struct seal_hash *h, unsigned char digest_out[SEAL_DIGEST_BYTES])
{
	ASSERT(EVP_DigestFinal_ex(h->state, digest_out, NULL) == 1);
	seal_hash_free(h);
}

void seal_hash_free(struct seal_hash *h)
{
	EVP_MD_CTX_free(h->state);
	h->state = NULL;
}
