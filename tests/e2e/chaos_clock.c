/* tests/e2e/chaos_clock.c - a wall clock that a test can set, put before a program by LD_PRELOAD.
 *
 * The number of seconds to add stands in the file CHAOS_CLOCK, which is mapped before main(): roles that may open nothing see it change. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const int64_t *ahead_s;
static int (*true_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void map_clock(void)
{
	const char *path = getenv("CHAOS_CLOCK");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *at = fd >= 0 ? mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

	*(void **)&true_clock = dlsym(RTLD_NEXT, "clock_gettime");
	if (at != MAP_FAILED)
		ahead_s = at;
	if (fd >= 0)
		close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
	int result = true_clock ? true_clock(clock, out) : (int)syscall(SYS_clock_gettime, clock, out);

	if (!result && ahead_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		out->tv_sec += *ahead_s;
	return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;
	int result = clock_gettime(CLOCK_REALTIME, &now);

	(void)zone;
	if (!result)
		*out = (struct timeval){ now.tv_sec, now.tv_nsec / 1000 };
	return result;
}

time_t time(time_t *out)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
