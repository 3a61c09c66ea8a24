/* What lwIP asks of the compiler beyond its defaults. */
#ifndef PEERS_CC_H
#define PEERS_CC_H

#include <stdlib.h>

#define LWIP_RAND() ((unsigned)random())

#endif
