// What the node asks of a board's modules, as far as the tests need it: hashlib.sha256, binascii.crc32, os.
// And `port`: count() tells what the emulated core executes in a call, flash() and load() give memory outside the heap.
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "py/mperrno.h"
#include "py/objstr.h"
#include "py/runtime.h"

// SHA-256 (FIPS 180-4).

typedef struct {
    mp_obj_base_t base;
    uint64_t length;
    uint32_t state[8];
    uint8_t block[64];
} sha256_t;

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t word, int count) {
    return word >> count | word << (32 - count);
}

static void compress(uint32_t *state, const uint8_t *block) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    memcpy(s, state, sizeof(s));
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25);
        uint32_t first = s[7] + s1 + ((s[4] & s[5]) ^ (~s[4] & s[6])) + round_constants[i] + w[i];
        uint32_t s0 = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t second = s0 + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof(s[0]));
        s[4] += first;
        s[0] = first + second;
    }
    for (int i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

static void take(sha256_t *self, const uint8_t *data, size_t count) {
    while (count--) {
        self->block[self->length++ % 64] = *data++;
        if (self->length % 64 == 0) {
            compress(self->state, self->block);
        }
    }
}

static mp_obj_t sha256_update(mp_obj_t self, mp_obj_t data) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(data, &info, MP_BUFFER_READ);
    take(MP_OBJ_TO_PTR(self), info.buf, info.len);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(sha256_update_obj, sha256_update);

static mp_obj_t sha256_digest(mp_obj_t self_in) {
    sha256_t copy = *(sha256_t *)MP_OBJ_TO_PTR(self_in);
    uint8_t end[72] = {0x80}, digest[32];
    size_t zeros = (119 - copy.length % 64) % 64;
    uint64_t bits = copy.length * 8;
    for (int i = 0; i < 8; i++) {
        end[1 + zeros + i] = bits >> (56 - 8 * i);
    }
    take(&copy, end, 9 + zeros);
    for (int i = 0; i < 32; i++) {
        digest[i] = copy.state[i / 4] >> (24 - 8 * (i % 4));
    }
    return mp_obj_new_bytes(digest, sizeof(digest));
}
static MP_DEFINE_CONST_FUN_OBJ_1(sha256_digest_obj, sha256_digest);

static mp_obj_t sha256_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    static const uint32_t start[8] = {
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    mp_arg_check_num(n_args, n_kw, 0, 1, false);
    sha256_t *self = mp_obj_malloc(sha256_t, type);
    self->length = 0;
    memcpy(self->state, start, sizeof(start));
    if (n_args) {
        sha256_update(MP_OBJ_FROM_PTR(self), args[0]);
    }
    return MP_OBJ_FROM_PTR(self);
}

static const mp_rom_map_elem_t sha256_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_update), MP_ROM_PTR(&sha256_update_obj) },
    { MP_ROM_QSTR(MP_QSTR_digest), MP_ROM_PTR(&sha256_digest_obj) },
};
static MP_DEFINE_CONST_DICT(sha256_locals, sha256_locals_table);
static MP_DEFINE_CONST_OBJ_TYPE(
    sha256_type, MP_QSTR_sha256, MP_TYPE_FLAG_NONE, make_new, sha256_make_new, locals_dict, &sha256_locals);

static const mp_rom_map_elem_t hashlib_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_hashlib) },
    { MP_ROM_QSTR(MP_QSTR_sha256), MP_ROM_PTR(&sha256_type) },
};
static MP_DEFINE_CONST_DICT(hashlib_globals, hashlib_table);
const mp_obj_module_t hashlib_module = { .base = { &mp_type_module }, .globals = (mp_obj_dict_t *)&hashlib_globals };
MP_REGISTER_MODULE(MP_QSTR_hashlib, hashlib_module);

static mp_obj_t binascii_crc32(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t info;
    mp_get_buffer_raise(args[0], &info, MP_BUFFER_READ);
    uint32_t crc = n_args > 1 ? ~(uint32_t)mp_obj_get_int_truncated(args[1]) : ~0u;
    for (size_t i = 0; i < info.len; i++) {
        crc ^= ((const uint8_t *)info.buf)[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (-(crc & 1) & 0xedb88320);
        }
    }
    return mp_obj_new_int_from_uint(~crc);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(binascii_crc32_obj, 1, 2, binascii_crc32);

static const mp_rom_map_elem_t binascii_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_binascii) },
    { MP_ROM_QSTR(MP_QSTR_crc32), MP_ROM_PTR(&binascii_crc32_obj) },
};
static MP_DEFINE_CONST_DICT(binascii_globals, binascii_table);
const mp_obj_module_t binascii_module = { .base = { &mp_type_module }, .globals = (mp_obj_dict_t *)&binascii_globals };
MP_REGISTER_MODULE(MP_QSTR_binascii, binascii_module);

// files.py imports it; without a file system there is nothing in it.
static const mp_rom_map_elem_t os_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_os) },
};
static MP_DEFINE_CONST_DICT(os_globals, os_table);
const mp_obj_module_t os_module = { .base = { &mp_type_module }, .globals = (mp_obj_dict_t *)&os_globals };
MP_REGISTER_MODULE(MP_QSTR_os, os_module);

#ifdef CORTEX_M3
// The board's 25 MHz down counter. Under `qemu -icount shift=10` an instruction takes 1024 ns = 25.6 ticks, so the
// count of instructions is exact; it wraps after 167 million.
#define TIMER ((volatile uint32_t *)0x40000000)

static mp_obj_t port_count(mp_obj_t function) {
    TIMER[0] = 0;
    TIMER[2] = ~0u; // reload
    TIMER[1] = ~0u; // value
    TIMER[0] = 1;   // run
    mp_call_function_0(function);
    return mp_obj_new_int_from_ull((uint64_t)~TIMER[1] * 40 / 1024);
}
static MP_DEFINE_CONST_FUN_OBJ_1(port_count_obj, port_count);

// A flash chip, as far as the heap knows: memory that is not in it, as a bytearray.
__attribute__((section(".flash"))) static uint8_t flash[1100 * 1024];

static mp_obj_t port_flash(void) {
    return mp_obj_new_bytearray_by_ref(sizeof(flash), flash);
}
static MP_DEFINE_CONST_FUN_OBJ_0(port_flash_obj, port_flash);

// The content of a file of the host, as a bytearray that is not in the heap either and holds until the next one.
static uint8_t loaded[4096];

static mp_obj_t port_load(mp_obj_t path) {
    int file = open(mp_obj_str_get_str(path), O_RDONLY);
    if (file < 0) {
        mp_raise_OSError(MP_ENOENT);
    }
    int size = read(file, loaded, sizeof(loaded));
    close(file);
    return mp_obj_new_bytearray_by_ref(size, loaded);
}
static MP_DEFINE_CONST_FUN_OBJ_1(port_load_obj, port_load);

static const mp_rom_map_elem_t port_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_port) },
    { MP_ROM_QSTR(MP_QSTR_count), MP_ROM_PTR(&port_count_obj) },
    { MP_ROM_QSTR(MP_QSTR_flash), MP_ROM_PTR(&port_flash_obj) },
    { MP_ROM_QSTR(MP_QSTR_load), MP_ROM_PTR(&port_load_obj) },
};
static MP_DEFINE_CONST_DICT(port_globals, port_table);
const mp_obj_module_t port_module = { .base = { &mp_type_module }, .globals = (mp_obj_dict_t *)&port_globals };
MP_REGISTER_MODULE(MP_QSTR_port, port_module);
#endif
