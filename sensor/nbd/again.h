/* Starting over after abort(). */
#ifndef CHV_SENSOR_NBD_AGAIN_H
#define CHV_SENSOR_NBD_AGAIN_H

/* From now on, when this process aborts itself (nbdkit 1.32 fails an assertion when a client hangs up while several answers are on
 * their way to it), it becomes a new nbdkit by the same command line, under the same number: to the log and the disk that is a kill
 * and a start. Call it when all that could fail at every start has not. `socket`, or NULL: the Unix socket that is in the way then; it
 * must stay as it is. Where the command line cannot be read nothing is changed. */
void again_after_abort(const char *socket);

#endif
