/* The first byte chooses the reader and the status; what is read is usable as far as it says. From 128 on it is the room, and what stands behind, parted by
 * \1, is what forms and addresses are made of: nobody's value becomes another field. */
#include "wire/oauth.h"

#include "base/panic.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static size_t count_of(struct span s, char byte)
{
	size_t count = 0;

	for (size_t i = 0; i < s.size; i++)
		count += s.at[i] == byte;
	return count;
}

/* As many fields as have a value, and nothing but what a form may hold. */
static void check_form(const struct buf *out, bool whole, size_t most)
{
	if (!whole)
		return;
	ASSERT(text_is_ascii(buf_span(out)) && count_of(buf_span(out), '=') <= most && count_of(buf_span(out), '&') < most);
}

static void forms(struct span rest, size_t room)
{
	struct span piece[9] = { { 0 } };
	struct oauth_client c;
	struct oauth_authorize a;
	struct buf out;

	for (size_t i = 0; i < 9; i++)
		if (!span_cut(&rest, '\x01', &piece[i]))
			piece[i] = (struct span){ "", 0 };
	c = (struct oauth_client){ .client_id = piece[1], .client_secret = piece[2], .scope = piece[3] };
	a = (struct oauth_authorize){ .endpoint = SPAN("https://login.example/authorize"), .redirect_uri = piece[5], .state = piece[6], .nonce = piece[7],
				      .challenge = piece[8], .login_hint = piece[0], .prompt = piece[4], .extra = SPAN("access_type=offline") };
	buf_init(&out, room);
	check_form(&out, oauth_authorize_url(&out, &c, &a), 13);
	buf_clear(&out);
	check_form(&out, oauth_code_form(&out, &c, piece[4], piece[5], piece[8]), 7);
	buf_clear(&out);
	check_form(&out, oauth_refresh_form(&out, &c, piece[4]), 5);
	buf_clear(&out);
	check_form(&out, oauth_device_poll_form(&out, &c, piece[4]), 4);
	buf_clear(&out);
	check_form(&out, oauth_device_form(&out, &c), 3);
	buf_clear(&out);
	check_form(&out, oauth_challenge(&out, piece[8]), 1);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static enum fault (*const readers[])(struct oauth_answer *, int, struct span) = { oauth_read_token, oauth_read_device, oauth_read_discovery };
	static const int statuses[] = { 200, 400, 401, 429, 503 };
	struct oauth_answer answer;
	struct span body = { (const char *)bytes + 1, size - 1 };

	enum fault fault;

	if (!size)
		return 0;
	if (*bytes >= 128) {
		forms(body, *bytes == 255 ? 1 << 20 : (*bytes - 128u) * 8);
		return 0;
	}
	fault = readers[*bytes % 3](&answer, statuses[*bytes / 3 % 5], body);
	(void)oauth_needs_person(fault);
	if (fault == FAULT_OK && *bytes % 3 == 0 && !answer.access_token.size)
		__builtin_trap();
	oauth_answer_free(&answer);
	return 0;
}
