/* An x86-64 system of its own: runs the cases that are linked to it, and tells at port 0xE9 which
 * level ran and how many words were not as expected. boot.S calls it. */
#include "cases.h"

extern const uint8_t cases[], cases_end[];
extern const uint32_t expected[], expected_end[];
int mtj_level(void);

static const uint32_t *next;
static uint32_t wrong;

static void put(char c) { __asm__ volatile("outb %%al, $0xe9" : : "a"(c)); }

static void say(const char *text) {
    while (*text) {
        put(*text++);
    }
}

static void say_number(uint64_t number) {
    if (number > 9) {
        say_number(number / 10);
    }
    put('0' + number % 10);
}

static void compare(const uint32_t *words, size_t count) {
    while (count--) {
        wrong += next >= expected_end || *words != *next;
        words++, next++;
    }
}

void bare_main(void) {
    next = expected;
    run_cases(cases, cases_end, (uint8_t *)(1 << 26), compare);
    say("\nMTJKIT ");
    say_number(mtj_level());
    say(" WORDS ");
    say_number(next - expected);
    say(" MISSING ");
    say_number(expected_end - next);
    say(" WRONG ");
    say_number(wrong);
    say(" END\n");
}
