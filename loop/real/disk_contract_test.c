#define DISK_CONTRACT_PATH "/tmp/postern-disk-contract"
#include "tests/contracts/disk.h"
