/* Addresses, paths and parameters. A mailbox that is read has a canonical spelling, which is the same mailbox and its
 * own. */
#include "base/panic.h"
#include "wire/mail_address.h"
#include "wire/parameters.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void check(const struct mail_address *a)
{
	char memory[2][2 * MAIL_ADDRESS_BYTES];
	struct mail_address again;
	struct buf once, twice;

	for (size_t i = 0; i < a->whole.size; i++)
		ASSERT((unsigned char)a->whole.at[i] >= 0x20 && a->whole.at[i] != 0x7f);
	buf_over(&once, memory[0], sizeof memory[0]);
	buf_over(&twice, memory[1], sizeof memory[1]);
	ASSERT(mail_address_canonical(&once, a));
	if (once.size > MAIL_ADDRESS_BYTES || mail_address_parse(&again, buf_span(&once)) != FAULT_OK)
		panic("the canonical spelling is no address");
	ASSERT(mail_address_same(a, &again) && mail_address_same(&again, a));
	ASSERT(mail_address_canonical(&twice, &again));
	ASSERT(span_equal(buf_span(&once), buf_span(&twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct span text = { (const char *)bytes, size }, rest = text;
	struct parameters_recipient recipient;
	struct parameters_mail mail;
	struct mail_address_path path;
	struct mail_address address;

	if (mail_address_parse(&address, text) == FAULT_OK)
		check(&address);
	if (mail_address_path(&path, &rest, MAIL_ADDRESS_REVERSE) == FAULT_OK) {
		if (!path.null)
			check(&path.address);
		if (parameters_mail(&mail, rest) == FAULT_OK)
			ASSERT(mail.envelope_id.size <= 100);
		if (parameters_recipient(&recipient, rest) == FAULT_OK)
			ASSERT(recipient.original.size <= 500);
	}
	return 0;
}
