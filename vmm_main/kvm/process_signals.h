#ifndef BULKHEAD_PROCESS_SIGNALS_H
#define BULKHEAD_PROCESS_SIGNALS_H

/* Installs the handler of vcpu_kick()'s signal for the process. Returns 0 or -errno. */
int install_kick_handler(void);

#endif
