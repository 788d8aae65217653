#include "upstream/account.h"

enum { ADDRESSES_MAX = 3 };

static bool has_at(struct span text)
{
	return span_find_byte(text, '@') < text.size;
}

/* Entra's `email` can be set to anything by whoever owns a tenant, so it vouches for nothing there. */
static size_t addresses_of(const struct jwt *j, enum provider_account kind, struct span out[ADDRESSES_MAX])
{
	size_t count = 0;

	if (kind == PROVIDER_ACCOUNT_SUBJECT && j->email_is_verified && has_at(j->email))
		out[count++] = j->email;
	if (has_at(j->preferred_username) && (kind == PROVIDER_ACCOUNT_TENANT || !j->email.size || span_equal_fold(j->email, j->preferred_username)))
		out[count++] = j->preferred_username;
	if (kind == PROVIDER_ACCOUNT_TENANT && has_at(j->upn))
		out[count++] = j->upn;
	return count;
}

struct account account_of(const struct jwt *j, enum provider_account kind)
{
	struct span addresses[ADDRESSES_MAX];
	struct account a = { j->tenant, j->object, j->subject };

	if (kind == PROVIDER_ACCOUNT_SUBJECT)
		a = (struct account){ j->issuer, j->subject, j->subject };
	if (addresses_of(j, kind, addresses))
		a.address = addresses[0];
	else if (j->preferred_username.size || j->email.size)
		a.address = j->preferred_username.size ? j->preferred_username : j->email;
	return a;
}

bool account_names_address(const struct jwt *j, enum provider_account kind)
{
	struct span addresses[ADDRESSES_MAX];

	return addresses_of(j, kind, addresses) > 0;
}

bool account_has_address(const struct jwt *j, enum provider_account kind, struct span address, struct span aliases)
{
	struct span addresses[ADDRESSES_MAX], rest, alias;
	size_t count = addresses_of(j, kind, addresses);

	for (size_t i = 0; i < count; i++) {
		if (span_equal_fold(addresses[i], address))
			return true;
		for (rest = aliases; span_cut(&rest, '\n', &alias);)
			if (alias.size && span_equal_fold(addresses[i], alias))
				return true;
	}
	return false;
}

bool account_equal(const struct account *a, struct span tenant, struct span object)
{
	return a->object.size && span_equal(a->tenant, tenant) && span_equal(a->object, object);
}
