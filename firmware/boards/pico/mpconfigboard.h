// The flash's 2 MB: 512 kB for MicroPython, 896 kB for models read in place, 640 kB of files.
#define MICROPY_HW_BOARD_NAME                   "Raspberry Pi Pico"
#define MICROPY_HW_ROMFS_BYTES                  (896 * 1024)
#define MICROPY_HW_FLASH_STORAGE_BYTES          (640 * 1024)
