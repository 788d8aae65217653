/* gate/gate.h - the role that strangers speak to.
 *
 * Why       What parses hostile bytes must hold nothing worth stealing.
 * Promise   A session may use what its grant names and nothing else; it gets exactly one reply for each message; a session that stalls, floods or lies
 *           costs the others nothing.
 * Owns      Listeners, sessions, the certificates of its listeners. User postern-gate; no file; peers vault, post, desk; no system call that opens or connects.
 * Refuses   More sessions than `max_sessions`, more from one address than `max_sessions_per_address`; everything while the vault or post is away (421, 454, 451).
 * See       loop/role.h for its face, wire/smtp_server.h for the protocol, gate/session.h for one connection */
#pragma once
#include "loop/role.h"

extern const struct role_face gate_role;
