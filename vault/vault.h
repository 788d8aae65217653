/* vault/vault.h - the role that knows secrets: who may use what, who signed in, and the keys.
 *
 * User      postern-vault. Files: the database in {data}/vault, nothing else. Peers: keeper, gates, posts, desk.
 * Sandbox   landlock to its directory; connects to identity providers only (token, device, discovery, keys, userinfo).
 *
 * Why       One small role holds what must never leak, so that the roles that parse what strangers send need not be trusted with it.
 * Promise   - A login is answered from memory; nothing that a stranger can do makes it wait for the disk.
 *           - What people change is in force once it is stored, and not before; it is answered then.
 *           - No refresh token, client secret or key leaves this process. Access tokens go to post, one mailbox at a time; grants to gates.
 * Owns      The database, its thread, the token life cycle, links.
 * Refuses   To start with an unreadable or wrong key, a damaged or newer database: the fault and its text are the answer to keeper.
 * See       `vault_role` in loop/role.h; vault/inner.h for the parts; docs/decisions/0050 to 0052 */
#pragma once
#include "loop/role.h"
