/* Claims of a provider: whoever signed in is the mailbox meant only where an address that the provider vouches for says so. */
#include "upstream/account.h"

#include "base/panic.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const struct span mailbox = SPAN("alex@contoso.example"), alias = SPAN("a.lex@contoso.example\nalex@fabrikam.example");
	struct jwt j;

	if (jwt_read_claims(&j, (struct span){ (const char *)bytes, size }) == FAULT_OK)
		for (enum provider_account kind = PROVIDER_ACCOUNT_NONE; kind <= PROVIDER_ACCOUNT_SUBJECT; kind++) {
			struct account a = account_of(&j, kind);

			if (account_has_address(&j, kind, mailbox, alias))
				ASSERT(account_names_address(&j, kind) && a.address.size);
			ASSERT(!a.object.size || account_equal(&a, a.tenant, a.object));
		}
	jwt_free(&j);
	return 0;
}
