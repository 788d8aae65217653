/* keeper/alarm.h - says aloud what a confined role tried to do.
 *
 * Why       A forbidden call that only fails is what a captured role hopes for. The kernel tells the keeper of each, over a descriptor that the role
 *           cannot take back.
 * Promise   Every forbidden call fails with EPERM. The first, tenth, hundredth ... of a name is an event with the call's name; a role that goes on trying is
 *           answered ever more slowly and costs the keeper next to nothing.
 * Owns      The socket and one small thread a role, which end with the role.
 * Refuses   Nothing.
 * See       keeper/confine.c, seccomp_unotify(2) */
#pragma once
#include "base/message.h"

/* Watches the role at the other end of the socket. */
void alarm_start_take(int socket_fd, enum role, unsigned index);
