#include "base/clock.h"

#include <fcntl.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

static int64_t read_ms(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_monotonic_ms(void)
{
	return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
	return read_ms(CLOCK_REALTIME);
}

/* FNV-1a over the 36 letters that the kernel drew at its start. */
static uint32_t read_boot(void)
{
	uint32_t number = 2166136261u;
	char text[36];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof text);

	if (fd >= 0)
		close(fd);
	if (got != sizeof text)
		return 0;
	for (size_t i = 0; i < sizeof text; i++)
		number = (number ^ (unsigned char)text[i]) * 16777619u;
	return number;
}

uint32_t clock_boot(void)
{
	static bool is_read;
	static uint32_t boot;

	if (!is_read)
		boot = read_boot();
	is_read = true;
	return boot;
}
