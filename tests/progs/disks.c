/* What a disk may take its time for, of files and of what is none. */
#include "prog.h"
#include <sys/syscall.h>

static int from, to, ends[2];

static void each(int fd, int out) {
    show(fsync(fd)), show(fdatasync(fd)), show(syncfs(fd)), show(sync_file_range(fd, 0, 4, SYNC_FILE_RANGE_WRITE));
    show(copy_file_range(fd, &(off_t){1}, out, NULL, 2, 0));
    show(syscall(SYS_fsync, fd)), show(syscall(SYS_fdatasync, fd)), show(syscall(SYS_syncfs, fd));
    show(syscall(SYS_sync_file_range, fd, 0L, 4L, SYNC_FILE_RANGE_WRITE));
    show(syscall(SYS_copy_file_range, fd, &(off_t){2}, out, NULL, 2L, 0));
}

static void *run(void *arg) {
    char bytes[100] = "";
    for (int i = 0; i < 20; i++) each(from, to);
    ssize_t length = pread(to, bytes, sizeof bytes - 1, 0);
    printf("%zd %s\n", length, bytes);
    each(ends[0], to);
    each(9999, to);
    return arg;
}

int main(void) {
    char path[] = "/tmp/disks-XXXXXX", other[] = "/tmp/disks-XXXXXX";
    from = must(mkstemp(path)), to = must(mkstemp(other));
    must(unlink(path)), must(unlink(other));
    send_all(from, "abcd", 4);
    must(pipe(ends));
    pthread_t thread = spawn(run, NULL);
    join(thread);
    return 0;
}
