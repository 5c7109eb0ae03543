#include "timeline/files_worker.h"
int worker_replay(struct worker *w, bool *needed)
{
    (void)w;
    *needed = false;
    return 0;
}
