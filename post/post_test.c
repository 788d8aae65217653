/* The post role between a gate, a vault and a provider: what applications are told, and what arrives. */
#include "post/rig.h"

static void accepted_with_the_upstreams_words(void **state)
{
	struct rig *r = rig_new("");
	const struct rig_settled *s;
	char header[64];

	rig_send(r, (struct rig_letter){ .session = 1 });
	RIG_WAIT(r, rig_told(r, 1));
	s = rig_told(r, 1);
	if (s->kind != 1)
		fail_msg("%s\n%s", s->says, r->log);
	assert_string_equal(s->says, "accepted by 127.0.0.1: OK <taken>");
	assert_int_equal(strlen(s->id), 13);
	assert_int_equal(r->mail_count, 1);
	assert_string_equal(r->mails[0].sender, "box@example.org");
	assert_string_equal(r->mails[0].recipients, "x@example.net");
	snprintf(header, sizeof header, "X-Postern-Id: %s\r\nSubject: test\r\n\r\nhello\r\n", s->id);
	assert_span(buf_span(&r->mails[0].data), header);
	assert_true(r->mails[0].user[0] != 0);
	rig_free(r);
}

TESTS(accepted_with_the_upstreams_words)
