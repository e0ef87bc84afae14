/* A plugin of QEMU: tells at a program's end, on stderr, how many instructions it has run.
 *
 * Debian's QEMU comes without the header of its plugins, so what is used is declared here:
 * https://www.qemu.org/docs/master/devel/tcg-plugins.html */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb; /* instructions that run one after the other */

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*made)(plugin_id id, struct qemu_plugin_tb *tb));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
                                          void (*runs)(unsigned vcpu, void *data), int flags,
                                          void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ends)(plugin_id id, void *data),
                                    void *data);

extern int qemu_plugin_version;
int qemu_plugin_version = PLUGIN_VERSION; /* QEMU refuses one that it does not speak */
int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments);

static uint64_t instructions;

static void runs(unsigned vcpu, void *data) {
    (void)vcpu;
    instructions += (uintptr_t)data;
}

static void made(plugin_id id, struct qemu_plugin_tb *tb) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, runs, 0, (void *)qemu_plugin_tb_n_insns(tb));
}

static void ends(plugin_id id, void *data) {
    (void)id, (void)data;
    fprintf(stderr, "%" PRIu64 " instructions\n", instructions);
}

int qemu_plugin_install(plugin_id id, const void *info, int count, char **arguments) {
    (void)info, (void)count, (void)arguments;
    qemu_plugin_register_vcpu_tb_trans_cb(id, made);
    qemu_plugin_register_atexit_cb(id, ends, NULL);
    return 0;
}
