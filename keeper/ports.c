#include "keeper/ports.h"

#include <stddef.h>

static const struct {
	int64_t low, high;
} moved[] = { { 25, 2525 }, { 465, 2465 }, { 587, 2587 }, { 443, 8443 } };

static int64_t without_rights(int64_t wanted)
{
	for (size_t i = 0; i < sizeof moved / sizeof *moved; i++)
		if (moved[i].low == wanted)
			return moved[i].high;
	return wanted + 10000;
}

bool ports_effective(int64_t wanted, int64_t base, bool may_low, uint16_t *port_out)
{
	int64_t port = wanted;

	if (wanted && base)
		port = base + wanted;
	else if (wanted && wanted < 1024 && !may_low)
		port = without_rights(wanted);
	*port_out = 0;
	if (port < 0 || port > UINT16_MAX)
		return false;
	*port_out = (uint16_t)port;
	return true;
}
