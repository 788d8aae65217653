/* gate/stranger.h - sessions that have not said who they are, and which of them gives way.
 *
 * Why       Whoever opens connections and stays silent must not take the places of those who signed in, nor keep out those who are about to.
 * Promise   At most `max_strangers` of a gate's sessions have not signed in. Beyond that the oldest gives way to the newcomer, unless it is so young that it
 *           may still be signing in. A session that has signed in never gives way.
 * Owns      The order in which strangers came: links inside the sessions.
 * Refuses   Nothing by itself: it says that there is no room.
 * See       RFC 4954 4, tests/e2e/test_faults_strangers.py (R17) */
#pragma once
#include "gate/inner.h"

/* Whether there is room for one more stranger; makes it where it can. */
bool stranger_fits(struct gate *);

/* A session begins as a stranger; it is one no more when it has signed in, or ends. The second does nothing where it is none. */
void stranger_add(struct session *);
void stranger_remove(struct session *);
