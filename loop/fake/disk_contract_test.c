#define DISK_CONTRACT_PATH "/data"
#include "tests/contracts/disk.h"
