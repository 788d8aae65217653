#include "base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

bool whole_file_read(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), error = 0;
	char piece[4096];
	ssize_t size = 1;

	if (fd < 0)
		return false;
	while (size && !error) {
		size = read(fd, piece, sizeof piece);
		if (size < 0 && errno == EINTR)
			continue;
		if (size < 0)
			error = errno;
		else if (size && !buf_put(out, (struct span){ piece, (size_t)size }))
			error = EFBIG;
	}
	close(fd);
	explicit_bzero(piece, sizeof piece);
	errno = error;
	return !error;
}
