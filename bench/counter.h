/* bench/counter.h - how many messages arrived, in a file that two programs share.
 *
 * Why       The load tool has to know when the last message is at the sink, without asking.
 * Promise   An addition is seen by the other program at once.
 * Owns      The mapping, until the program ends.
 * Refuses   A file that cannot be made: the program ends.
 * See       docs/bench.md */
#pragma once

/* Maps the file; makes it, at 0, where there is none. */
_Atomic long *counter_open(const char *path);
