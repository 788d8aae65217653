/* The first byte chooses the mechanism, the rest are response lines. What is read as a login must be clean, and must
 * come back as the same login when the client's half writes it. */
#include "base/panic.h"
#include "base/text.h"
#include "wire/sasl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static char *copy_of(struct span s)
{
	char *copy = malloc(s.size + 1);

	if (s.size)
		memcpy(copy, s.at, s.size);
	return copy;
}

/* Writes the login with the client's half and reads it again. */
static void round_trip(enum sasl_mechanism m, const struct sasl_login *login)
{
	struct sasl_credentials who = { .user = login->user, .secret = login->secret };
	struct sasl_server server;
	struct sasl_login again = { 0 };
	struct buf line;

	buf_init(&line, 2 * SASL_LINE_BYTES);
	sasl_server_init(&server, m);
	for (unsigned step = 0; step < sasl_client_steps(m); step++) {
		buf_clear(&line);
		enum fault f = sasl_client_put(&line, m, step, &who);

		if (f != FAULT_OK) {
			ASSERT(f == FAULT_TOO_LARGE || !login->user.size);
			buf_free(&line);
			return;
		}
		if (line.size > SASL_LINE_BYTES)
			break;
		ASSERT(sasl_server_take(&server, line.at, line.size, &again) == FAULT_OK);
	}
	if (line.size <= SASL_LINE_BYTES)
		ASSERT(span_equal(again.user, login->user) && span_equal(again.secret, login->secret));
	buf_free(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span rest = { (const char *)bytes + 1, size - 1 }, line;
	struct sasl_server server;
	struct sasl_login login;

	if (!size)
		return 0;
	sasl_server_init(&server, (enum sasl_mechanism)(*bytes % SASL_MECHANISM_COUNT));
	while (span_cut(&rest, '\n', &line)) {
		char *copy = copy_of(line);
		enum fault f = sasl_server_take(&server, copy, line.size, &login);

		if (f == FAULT_OK && login.secret.size) {
			ASSERT(login.user.size || server.mechanism == SASL_OAUTHBEARER);
			ASSERT(login.user.size <= SASL_USER_BYTES && text_is_utf8(login.user));
			for (size_t i = 0; i < login.user.size; i++)
				ASSERT((unsigned char)login.user.at[i] >= 0x20 && login.user.at[i] != 0x7f);
			round_trip(server.mechanism, &login);
		}
		free(copy);
		if (f != FAULT_OK || login.secret.size)
			break;
	}
	return 0;
}
