/* Disks that are encrypted whole (LUKS, BitLocker): how they are known, by entropies alone, and how they would show what was recorded
 * on one that is not.
 *
 * Ciphertext has the entropy of random bytes, and on such a disk everything is ciphertext: each block ever written, that of the file system
 * itself too. Only what was never written is zeros, so a block of which a part was written shows as many random bytes, and zeros.
 * On a disk that is not encrypted the file system's own blocks are neither, whatever programs write: of 1,000 pieces that
 * ransomware made it read and write, 70 and more were plain. */
#ifndef CHV_DETECT_CIPHER_H
#define CHV_DETECT_CIPHER_H

#include <stdbool.h>

#include "detect/access.h"

/* Could `sectors` (or the block that they lie in) with this entropy be on an encrypted disk, written or in part? */
bool cipher_like(uint16_t entropy, uint32_t sectors);

/* Is this disk encrypted? Counts of pieces written or read whose entropy is known; both are halved when there are
 * CIPHER_MEMORY, so what was long ago counts less and less. Undecided is no. */
#define CIPHER_MEMORY 16384u /* pieces: 64 MiB */
#define CIPHER_LEAST 1024u   /* before so many nothing is said */
#define CIPHER_ON 512u       /* yes once at most one in so many is plain, */
#define CIPHER_OFF 128u      /* no again once more than one in so many is: 129 in a row at the most */
struct cipher_gate {
    uint32_t pieces, plain;
    bool encrypted;
};
void cipher_gate_push(struct cipher_gate *g, const struct access *a);

/* Make of an access what an encrypted disk would show of it. False: nothing, such disks are not told what is discarded (dm-crypt's
 * default), and so do not know that something holds zeros either. */
bool cipher_view(struct access *a);

#endif
