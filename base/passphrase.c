#include "base/passphrase.h"

#include "base/rand.h"
#include "base/seal.h"
#include "base/text.h"

#include <sodium.h>

enum { SALT_BYTES = crypto_pwhash_argon2id_SALTBYTES, TEXT_BYTES_MAX = 64 * 1024 };

static const struct span mark = { "postern-sealed-key 1 ", 21 }, context = { "postern sealed key", 18 };

static bool key_of(char key_out[SEAL_KEY_BYTES], struct span passphrase, const char *salt)
{
	return passphrase.size && !crypto_pwhash_argon2id((unsigned char *)key_out, SEAL_KEY_BYTES, passphrase.at, passphrase.size, (const unsigned char *)salt,
							  crypto_pwhash_argon2id_OPSLIMIT_MODERATE, crypto_pwhash_argon2id_MEMLIMIT_MODERATE,
							  crypto_pwhash_argon2id_ALG_ARGON2ID13);
}

bool passphrase_seal(struct buf *out, struct span passphrase, struct span text)
{
	char key[SEAL_KEY_BYTES], salt[SALT_BYTES];
	struct buf bytes;
	bool good;

	rand_bytes(salt, sizeof salt);
	buf_init(&bytes, TEXT_BYTES_MAX);
	good = key_of(key, passphrase, salt) && buf_put(&bytes, (struct span){ salt, sizeof salt }) &&
	       seal_put(&bytes, (struct span){ key, sizeof key }, context, text) &&
	       buf_put(out, SPAN("# A key of Postern, sealed under a passphrase: postern restore BACKUP --key-file THIS --passphrase\n")) && buf_put(out, mark) &&
	       text_base64(out, buf_span(&bytes)) && buf_put_byte(out, '\n');
	secret_wipe(key, sizeof key);
	buf_free(&bytes);
	return good;
}

/* The line that has the mark, without it. */
static bool find_line(struct span file, struct span *line_out)
{
	struct span line;

	while (span_cut(&file, '\n', &line))
		if (span_starts(line, mark)) {
			*line_out = span_trim(span_slice(line, mark.size, line.size));
			return true;
		}
	return false;
}

bool passphrase_sealed(struct span file)
{
	struct span line;

	return find_line(file, &line);
}

bool passphrase_open(struct buf *out, struct span passphrase, struct span file)
{
	char key[SEAL_KEY_BYTES];
	struct span line;
	struct buf bytes;
	bool good;

	buf_init(&bytes, TEXT_BYTES_MAX);
	good = find_line(file, &line) && text_from_base64(&bytes, line) && bytes.size > SALT_BYTES && key_of(key, passphrase, bytes.at) &&
	       seal_open(out, (struct span){ key, sizeof key }, context, span_slice(buf_span(&bytes), SALT_BYTES, bytes.size));
	secret_wipe(key, sizeof key);
	buf_free(&bytes);
	return good;
}
