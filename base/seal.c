#include "base/seal.h"

#include "base/panic.h"
#include "base/rand.h"

#include <sodium.h>

_Static_assert(SEAL_KEY_BYTES == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");
_Static_assert(SEAL_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce size");
_Static_assert(SEAL_TAG_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag size");
_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(struct seal_hash), "hash state");

static const unsigned char *bytes(struct span s)
{
	return (const unsigned char *)s.at;
}

bool seal_put(struct buf *out, struct span key, struct span context, struct span text)
{
	unsigned char *at = (unsigned char *)buf_room(out, text.size + SEAL_OVER_BYTES);
	unsigned long long size;

	ASSERT(key.size == SEAL_KEY_BYTES);
	if (!at)
		return false;
	rand_bytes(at, SEAL_NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(at + SEAL_NONCE_BYTES, &size, bytes(text), text.size,
						   bytes(context), context.size, NULL, at, bytes(key));
	buf_grew(out, SEAL_NONCE_BYTES + (size_t)size);
	return true;
}

bool seal_open(struct buf *out, struct span key, struct span context, struct span sealed)
{
	unsigned long long size;
	unsigned char *at;

	ASSERT(key.size == SEAL_KEY_BYTES);
	if (sealed.size < SEAL_OVER_BYTES)
		return false;
	at = (unsigned char *)buf_room(out, sealed.size - SEAL_OVER_BYTES);
	if (!at)
		return false;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(at, &size, NULL, bytes(sealed) + SEAL_NONCE_BYTES,
						       sealed.size - SEAL_NONCE_BYTES, bytes(context),
						       context.size, bytes(sealed), bytes(key)))
		return false;
	buf_grew(out, (size_t)size);
	return true;
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
	crypto_hash_sha256(digest_out, bytes(text), text.size);
}

void seal_hash_init(struct seal_hash *h)
{
	crypto_hash_sha256_init((crypto_hash_sha256_state *)h->state);
}

void seal_hash_put(struct seal_hash *h, struct span s)
{
	crypto_hash_sha256_update((crypto_hash_sha256_state *)h->state, bytes(s), s.size);
}

void seal_hash_end(struct seal_hash *h, unsigned char digest_out[SEAL_DIGEST_BYTES])
{
	crypto_hash_sha256_final((crypto_hash_sha256_state *)h->state, digest_out);
}
