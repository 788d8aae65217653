/* keeper/ports.h - which port a listener really gets.
 *
 * Why       An ordinary user may not open 25, 465, 587 or 443; the same boot file should still start.
 * Promise   0 stays 0. With a base, the port is base + port. Without one and without the right to low ports, 25, 465 and 587 become 2525, 2465
 *           and 2587, 443 becomes 8443, others move up by 10000.
 * Owns      Nothing.
 * Refuses   Results over 65535: 0 and false. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* The port that a listener meant for `wanted` is bound to, in `port_out`; `base` is 0 for none, `may_low` says that ports below 1024 may be bound.
 * False, and 0, when it would be over 65535. */
bool ports_effective(int64_t wanted, int64_t base, bool may_low, uint16_t *port_out);
