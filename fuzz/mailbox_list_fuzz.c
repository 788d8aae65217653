/* Address lists: each mailbox that is read is one, and its display name can stand before another address and stay one
 * name. */
#include "base/panic.h"
#include "wire/mailbox_list.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void check(const struct mailbox *m)
{
	struct mailbox_list list;
	struct mail_address address;
	struct mailbox again;
	struct buf text;

	ASSERT(mail_address_parse(&address, m->address) == FAULT_OK);
	if (!m->display.size)
		return;
	buf_init(&text, 1 << 20);
	buf_put(&text, m->display);
	buf_put(&text, SPAN(" <box@x.test>"));
	list = (struct mailbox_list){ .rest = buf_span(&text) };
	ASSERT(mailbox_list_next(&list, &again) == MAILBOX_FOUND && span_equal(again.address, SPAN("box@x.test")));
	ASSERT(mailbox_list_next(&list, &again) == MAILBOX_END);
	buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct mailbox_list list = { .rest = { (const char *)bytes, size } };
	struct mailbox m;
	size_t count = 0;

	while (mailbox_list_next(&list, &m) == MAILBOX_FOUND) {
		ASSERT(++count <= size);
		check(&m);
	}
	return 0;
}
