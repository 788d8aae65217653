#include "loop/local_user.h"

#include <stdio.h>

struct address local_user(uint32_t uid)
{
	struct address a = { .family = ADDRESS_PATH };

	snprintf(a.path, sizeof a.path, "uid:%lu", (unsigned long)uid);
	return a;
}

static bool read_number(struct span text, uint32_t *uid_out)
{
	uint64_t uid;

	if (!span_starts(text, SPAN("uid:")) || !span_number(span_slice(text, 4, text.size), &uid) || uid > UINT32_MAX)
		return false;
	*uid_out = (uint32_t)uid;
	return true;
}

bool local_user_parse(struct address *out, struct span text)
{
	uint32_t uid;

	*out = (struct address){ 0 };
	if (!read_number(text, &uid))
		return false;
	*out = local_user(uid);
	return true;
}

bool local_user_is(const struct address *a, uint32_t *uid_out)
{
	*uid_out = 0;
	return a->family == ADDRESS_PATH && read_number(span_of(a->path), uid_out);
}
