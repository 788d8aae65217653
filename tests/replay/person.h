/* tests/replay/person.h - somebody with a browser and an authenticator.
 *
 * Why       A mailbox is linked by a person who signs in; replay has one who fills in the twin's pages.
 * Promise   Lets the world go on until the last page is there.
 * Owns      Nothing beyond the call.
 * Refuses   Pages that ask for something it has never heard of: false. */
#pragma once
#include "twin/twin_tenant.h"

/* Types the code of a device at `url`, signs in, gives the second factor and consents. */
bool person_approves(const char *url, struct span user_code, const struct twin_user *);
