// The features of a usual board (MicroPython's "extra features"), without what needs a file system or a terminal.
#include <alloca.h>
#include <stdint.h>

#define MICROPY_CONFIG_ROM_LEVEL (MICROPY_CONFIG_ROM_LEVEL_EXTRA_FEATURES)
#define MICROPY_ENABLE_GC (1)
#define MICROPY_GCREGS_SETJMP (1)
#define MICROPY_ENABLE_COMPILER (1)
#define MICROPY_ENABLE_EXTERNAL_IMPORT (1)
#define MICROPY_PERSISTENT_CODE_LOAD (1)
#define MICROPY_READER_POSIX (1)
#define MICROPY_LONGINT_IMPL (MICROPY_LONGINT_IMPL_MPZ)
#define MICROPY_FLOAT_IMPL (MICROPY_FLOAT_IMPL_FLOAT)

#ifdef CORTEX_M3
#define MICROPY_EMIT_THUMB (1)
#define MICROPY_MAKE_POINTER_CALLABLE(p) ((void *)((mp_uint_t)(p) | 1)) // the Thumb bit
#else
#define MICROPY_EMIT_X86 (1)
#endif

#define MICROPY_ENABLE_SCHEDULER (0)
#define MICROPY_HELPER_REPL (0)
#define MICROPY_KBD_EXCEPTION (0)
#define MICROPY_PY_ASYNCIO (0)
#define MICROPY_PY_BUILTINS_EXECFILE (0)
#define MICROPY_PY_BUILTINS_HELP (0)
#define MICROPY_PY_BUILTINS_INPUT (0)
#define MICROPY_PY_IO (0)
#define MICROPY_PY_SYS_PLATFORM "test-port"
#define MICROPY_PY_SYS_STDFILES (0)
#define MICROPY_PY_THREAD (0)
#define MICROPY_PY_TIME (0)
#define MICROPY_PY_UCTYPES (0)
#define MICROPY_VFS (0)
#define MICROPY_HW_BOARD_NAME "test port"
#define MICROPY_HW_MCU_NAME "no hardware"

#define MP_SSIZE_MAX (INT32_MAX)
#define MP_STATE_PORT MP_STATE_VM
typedef long mp_off_t;
