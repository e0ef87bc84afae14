/* The read-only file system: RAM, mapped as a board maps its flash. It is written
   with `mpremote romfs deploy`, or loaded by the emulator before the start. */

#include <string.h>
#include "py/mperrno.h"
#include "py/objarray.h"
#include "py/runtime.h"
#include "extmod/vfs.h"

#define ROMFS ((uint8_t *)QEMU_ROMFS)
#define ROMFS_BYTES (QEMU_ROMFS_BYTES)

static const MP_DEFINE_MEMORYVIEW_OBJ(romfs_obj, 'B', 0, ROMFS_BYTES, ROMFS);

mp_obj_t mp_vfs_rom_ioctl(size_t n_args, const mp_obj_t *args) {
    mp_int_t command = mp_obj_get_int(args[0]);
    if (command == MP_VFS_ROM_IOCTL_GET_NUMBER_OF_SEGMENTS) {
        return MP_OBJ_NEW_SMALL_INT(1);
    }
    if (n_args < 2 || mp_obj_get_int(args[1]) != 0) {
        return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
    }
    if (command == MP_VFS_ROM_IOCTL_GET_SEGMENT) {
        return MP_OBJ_FROM_PTR(&romfs_obj);
    }
    if (command == MP_VFS_ROM_IOCTL_WRITE_PREPARE && n_args == 3) {
        mp_uint_t length = mp_obj_get_int(args[2]);
        return MP_OBJ_NEW_SMALL_INT(length <= ROMFS_BYTES ? 4 : -MP_EINVAL);
    }
    if (command == MP_VFS_ROM_IOCTL_WRITE && n_args == 4) {
        mp_uint_t offset = mp_obj_get_int(args[2]);
        mp_buffer_info_t data;
        mp_get_buffer_raise(args[3], &data, MP_BUFFER_READ);
        if (offset > ROMFS_BYTES || data.len > ROMFS_BYTES - offset) {
            return MP_OBJ_NEW_SMALL_INT(-MP_EINVAL);
        }
        memcpy(ROMFS + offset, data.buf, data.len);
        return MP_OBJ_NEW_SMALL_INT(0);
    }
    return MP_OBJ_NEW_SMALL_INT(command == MP_VFS_ROM_IOCTL_WRITE_COMPLETE ? 0 : -MP_EINVAL);
}
