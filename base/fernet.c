#include "base/fernet.h"

#include "base/seal.h"
#include "base/text.h"

#include <openssl/evp.h>

enum { VERSION = 0x80, HEAD_BYTES = 1 + 8, BLOCK_BYTES = 16, HALF_BYTES = FERNET_KEY_BYTES / 2, LEAST_BYTES = HEAD_BYTES + 2 * BLOCK_BYTES + SEAL_MAC_BYTES };

bool fernet_stretch(unsigned char key_out[FERNET_KEY_BYTES], struct span password, struct span salt, uint64_t rounds)
{
	if (!rounds || rounds > FERNET_ROUNDS_MAX || password.size > INT32_MAX || salt.size > INT32_MAX)
		return false;
	return PKCS5_PBKDF2_HMAC(password.at ? password.at : "", (int)password.size, (const unsigned char *)(salt.at ? salt.at : ""), (int)salt.size,
				 (int)rounds, EVP_sha256(), FERNET_KEY_BYTES, key_out) == 1;
}

/* The second half of the key opens what stands between the head and the MAC. */
static bool decrypt(struct buf *out, const unsigned char *key, struct span vector, struct span sealed)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	char *to = buf_make_room(out, sealed.size + BLOCK_BYTES);
	int size = 0, last = 0;
	bool good = context && to &&
		    EVP_DecryptInit_ex(context, EVP_aes_128_cbc(), NULL, key + HALF_BYTES, (const unsigned char *)vector.at) == 1 &&
		    EVP_DecryptUpdate(context, (unsigned char *)to, &size, (const unsigned char *)sealed.at, (int)sealed.size) == 1 &&
		    EVP_DecryptFinal_ex(context, (unsigned char *)to + size, &last) == 1;

	EVP_CIPHER_CTX_free(context);
	if (good)
		buf_grew(out, (size_t)size + (size_t)last);
	else if (to)
		secret_wipe(to, sealed.size + BLOCK_BYTES);
	return good;
}

static bool open_bytes(struct buf *out, const unsigned char *key, struct span all)
{
	unsigned char mac[SEAL_MAC_BYTES];
	struct span sealed, told;

	if (all.size < LEAST_BYTES || (unsigned char)*all.at != VERSION || (all.size - LEAST_BYTES) % BLOCK_BYTES)
		return false;
	told = span_slice(all, all.size - SEAL_MAC_BYTES, SEAL_MAC_BYTES);
	sealed = span_slice(all, 0, all.size - SEAL_MAC_BYTES);
	seal_hmac(mac, (struct span){ (const char *)key, HALF_BYTES }, sealed);
	if (!secret_equal((struct span){ (char *)mac, sizeof mac }, told))
		return false;
	return decrypt(out, key, span_slice(sealed, HEAD_BYTES, BLOCK_BYTES), span_slice(sealed, HEAD_BYTES + BLOCK_BYTES, sealed.size));
}

bool fernet_open(struct buf *out, const unsigned char key[FERNET_KEY_BYTES], struct span token)
{
	struct buf bytes;
	bool good;

	while (token.size && token.at[token.size - 1] == '=')
		token.size--;
	buf_init(&bytes, FERNET_TOKEN_BYTES_MAX);
	good = text_from_base64_url(&bytes, token) && open_bytes(out, key, buf_span(&bytes));
	buf_free(&bytes);
	return good;
}
