/* The first byte chooses the reader and the status; what is read is usable as far as it says. */
#include "wire/oauth.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static enum fault (*const readers[])(struct oauth_answer *, int, struct span) = { oauth_read_token, oauth_read_device, oauth_read_discovery };
	static const int statuses[] = { 200, 400, 401, 429, 503 };
	struct oauth_answer answer;
	struct span body = { (const char *)bytes + 1, size - 1 };

	if (!size)
		return 0;
	if (readers[*bytes % 3](&answer, statuses[*bytes / 3 % 5], body) == FAULT_OK && *bytes % 3 == 0 && !answer.access_token.size)
		__builtin_trap();
	oauth_answer_free(&answer);
	return 0;
}
