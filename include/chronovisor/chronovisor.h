/* Everything a program that uses libchronovisor includes. */
#ifndef CHRONOVISOR_H
#define CHRONOVISOR_H

#include "chronovisor/err.h"
#include "chronovisor/maintain.h"
#include "chronovisor/recorder.h"
#include "chronovisor/store.h"
#include "chronovisor/timeline.h"

#endif
