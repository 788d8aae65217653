/* wire/import_proxy.h - the configuration of email-oauth2-proxy, with its tokens.
 *
 * Why       It is what most people use who come from a program of this kind, and its tokens spare each of them a new sign-in.
 * Promise   Each account becomes a mailbox, its registration, and a client of its name. Tokens stay sealed until import_proxy_unseal() is given the
 *           password of the account: the key is stretched as many rounds as the file says, or as one of its releases did.
 * Owns      Nothing.
 * Refuses   As wire/import.h.
 * See       its emailproxy.config; base/fernet.h */
#pragma once
#include "wire/import.h"

/* Reads the text of the file. */
MUST_CHECK enum fault import_proxy_read(struct import *, struct span text);

/* Opens what is sealed of an account; false when this is not its password, stretched so many rounds. */
bool import_proxy_open(struct import *, struct import_account *, struct span password, uint64_t rounds);

/* The same with the rounds that the file names, and with those of its releases. */
bool import_proxy_unseal(struct import *, struct import_account *, struct span password);
