/* upstream/account.h - which account signed in, and whether it is the one meant.
 *
 * Why       A browser may silently sign in with another account; its tokens must never be stored under the wrong address.
 * Promise   An account is named by what the provider never gives to another (`tid` and `oid`, else `iss` and `sub`); the address is compared only
 *           where the provider vouches for it.
 * Owns      Nothing: spans point into the token read.
 * Refuses   Nothing: it says.
 * See       facts of OpenID Connect Core 5.1, 5.7 (an address is no identifier) */
#pragma once
#include "upstream/provider.h"
#include "wire/jwt.h"

struct account {
	struct span tenant, object; /* empty when the token names nobody */
	struct span address;        /* what to call it: the address that came, or the subject */
};

/* Who a token names. */
struct account account_of(const struct jwt *, enum provider_account);

/* Whether the provider vouches for any address at all here; if not, its userinfo may. */
bool account_names_address(const struct jwt *, enum provider_account);

/* Whether one of the addresses that the provider vouches for is `address` or one of the lines of `aliases`. */
bool account_has_address(const struct jwt *, enum provider_account, struct span address, struct span aliases);

/* The same account. */
bool account_equal(const struct account *, struct span tenant, struct span object);
