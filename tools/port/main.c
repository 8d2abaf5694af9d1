// A MicroPython without a terminal, for tests: HEAP_BYTES SCRIPT [ARGUMENT...]. Modules lie in the working folder.
// On the Cortex-M3 newlib's rdimon brings arguments, files and output through semihosting.
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifndef CORTEX_M3
#include <sys/mman.h>
#endif

#include "py/builtin.h"
#include "py/compile.h"
#include "py/cstack.h"
#include "py/gc.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/gchelper.h"

#define C_STACK_BYTES (32 * 1024)
#define MAX_PATH_BYTES 512

#ifdef CORTEX_M3
extern uint32_t __stack;
extern void _start(void);
__attribute__((section(".vectors"), used)) static void *const vectors[2] = { &__stack, (void *)_start };
#endif

// Where machine code from a .mpy file can run.
static char *new_heap(size_t bytes) {
    #ifdef CORTEX_M3
    return malloc(bytes);
    #else
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    #endif
}

static int run(const char *script) {
    nlr_buf_t nlr;
    if (nlr_push(&nlr) == 0) {
        mp_lexer_t *lexer = mp_lexer_new_from_file(qstr_from_str(script));
        qstr source_name = lexer->source_name;
        mp_parse_tree_t tree = mp_parse(lexer, MP_PARSE_FILE_INPUT);
        mp_call_function_0(mp_compile(&tree, source_name, false));
        nlr_pop();
        return 0;
    }
    mp_obj_print_exception(&mp_plat_print, MP_OBJ_FROM_PTR(nlr.ret_val));
    return 1;
}

int main(int argc, char **argv) {
    mp_cstack_init_with_sp_here(C_STACK_BYTES);
    if (argc < 3) {
        fprintf(stderr, "arguments: HEAP_BYTES SCRIPT [ARGUMENT...]\n");
        return 2;
    }
    size_t heap_bytes = strtoul(argv[1], NULL, 10);
    char *heap = new_heap(heap_bytes);
    if (heap == NULL) {
        fprintf(stderr, "no heap of %u bytes\n", (unsigned)heap_bytes);
        return 2;
    }
    gc_init(heap, heap + heap_bytes);
    mp_init();
    for (int i = 2; i < argc; i++) {
        mp_obj_list_append(mp_sys_argv, mp_obj_new_str(argv[i], strlen(argv[i])));
    }
    return run(argv[2]);
}

static bool is_there(const char *path, const char *end) {
    char name[MAX_PATH_BYTES];
    snprintf(name, sizeof(name), "%s%s", path, end);
    int file = open(name, O_RDONLY);
    if (file >= 0) {
        close(file);
    }
    return file >= 0;
}

mp_import_stat_t mp_import_stat(const char *path) {
    // Semihosting cannot tell a folder from a file.
    if (is_there(path, "/__init__.py") || is_there(path, "/__init__.mpy")) {
        return MP_IMPORT_STAT_DIR;
    }
    return is_there(path, "") ? MP_IMPORT_STAT_FILE : MP_IMPORT_STAT_NO_EXIST;
}

mp_uint_t mp_hal_stdout_tx_strn(const char *text, size_t length) {
    return write(1, text, length);
}

void mp_hal_stdout_tx_strn_cooked(const char *text, size_t length) {
    mp_hal_stdout_tx_strn(text, length);
}

void gc_collect(void) {
    gc_collect_start();
    gc_helper_collect_regs_and_stack();
    gc_collect_end();
}

void nlr_jump_fail(void *value) {
    (void)value;
    abort();
}
