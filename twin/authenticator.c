#include "twin/authenticator.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdio.h>

uint32_t authenticator_code(struct span key, uint64_t step, unsigned digits)
{
	unsigned char counter[8], mac[EVP_MAX_MD_SIZE];
	unsigned size = 0;
	uint32_t limit = 1, bits;

	for (unsigned i = 0; i < 8; i++)
		counter[i] = (unsigned char)(step >> (56 - 8 * i));
	HMAC(EVP_sha1(), key.at, (int)key.size, counter, sizeof counter, mac, &size);
	bits = (uint32_t)(mac[mac[19] & 15] & 127) << 24 | (uint32_t)mac[(mac[19] & 15) + 1] << 16 |
	       (uint32_t)mac[(mac[19] & 15) + 2] << 8 | mac[(mac[19] & 15) + 3];
	while (digits--)
		limit *= 10;
	return bits % limit;
}

static int value32(char c)
{
	if (c >= 'a' && c <= 'z')
		return c - 'a';
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

bool authenticator_key(struct buf *out, struct span base32)
{
	unsigned bits = 0, count = 0;
	size_t size = out->size;

	for (size_t i = 0; i < base32.size; i++) {
		int value = value32(base32.at[i]);

		if (base32.at[i] == ' ' || base32.at[i] == '=')
			continue;
		if (value < 0)
			return false;
		bits = (bits << 5 | (unsigned)value) & 0xffff;
		count += 5;
		if (count < 8)
			continue;
		count -= 8;
		if (!buf_put_byte(out, (char)(bits >> count & 255)))
			return false;
	}
	return out->size > size;
}

bool authenticator_show(struct span base32, int64_t wall_ms, char digits_out[7])
{
	char memory[AUTHENTICATOR_SECRET_BYTES];
	struct buf key;

	buf_over(&key, memory, sizeof memory);
	if (!authenticator_key(&key, base32))
		return false;
	snprintf(digits_out, 7, "%06u", authenticator_code(buf_span(&key), (uint64_t)wall_ms / 1000 / AUTHENTICATOR_STEP_SECONDS, 6));
	return true;
}

static bool without_blanks(struct span digits, char out[7])
{
	size_t size = 0;

	for (size_t i = 0; i < digits.size; i++) {
		if (digits.at[i] == ' ')
			continue;
		if (size == 6 || digits.at[i] < '0' || digits.at[i] > '9')
			return false;
		out[size++] = digits.at[i];
	}
	out[size] = 0;
	return size == 6;
}

bool authenticator_check(struct span base32, int64_t wall_ms, struct span digits, uint64_t *last_step)
{
	uint64_t now = (uint64_t)wall_ms / 1000 / AUTHENTICATOR_STEP_SECONDS;
	char given[7], due[7];

	if (!without_blanks(digits, given))
		return false;
	for (uint64_t step = now ? now - 1 : 0; step <= now + 1; step++) {
		if (step <= *last_step || !authenticator_show(base32, (int64_t)(step * AUTHENTICATOR_STEP_SECONDS * 1000), due))
			continue;
		if (!span_equal(span_of(given), span_of(due)))
			continue;
		*last_step = step;
		return true;
	}
	return false;
}
